#!/usr/bin/env bash
# Every benchmark, peer against ours, and BENCHMARKS.md from what they wrote. 2 cores: under 40 minutes.
source "$(dirname "${BASH_SOURCE[0]}")/../bash_scripts/environment.sh"
export PYTHONPATH=.

python main_prepare_dataset.py dataset=emoji
for name in amazon_metadata image_pipeline vae auc bootstrap training_loop scaling; do
  python "benchmarks/$name.py"
done
python benchmarks/summarize.py
