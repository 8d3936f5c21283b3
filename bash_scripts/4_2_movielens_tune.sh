#!/usr/bin/env bash
# MovieLens: settings of each method, chosen on validation.
# GPU (1,500 images a second assumed): estimated 1 hour. 2 cores (10 images a second): 10 days; not run at full size
# there.
# Any Hydra override can be appended: bash bash_scripts/4_2_movielens_tune.sh image_size=64 epochs=5
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

python main_run_experiment.py experiment=tune dataset=movielens "$@"
