#!/usr/bin/env bash
# Every table and figure of the emoji results again, from the test predictions in results/emoji; a few minutes. They
# replace the committed ones; `git diff results` shows whether any number differs.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

python main_prepare_dataset.py dataset=emoji outputs_dir=results
for study in main frozen; do
  python main_evaluate_methods.py dataset=emoji outputs_dir=results "study=$study"
done
