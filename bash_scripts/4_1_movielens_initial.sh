#!/usr/bin/env bash
# MovieLens: tables, images, CF models compared (Tables 2, 3 and 4).
# GPU: estimated 1 hour. 2 cores: estimated 2 hours (10 M ratings); not run at full size there.
# Any Hydra override can be appended: bash bash_scripts/4_1_movielens_initial.sh dataset.raw_dir=...
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

python main_run_experiment.py experiment=table3 dataset=movielens "$@"
