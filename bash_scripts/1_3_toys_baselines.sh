#!/usr/bin/env bash
# Amazon Toys & Games: the six methods of Table 5 and two more over three folds, compared on test.
# GPU (1,500 images a second assumed): estimated 5 hours. 2 cores (8 images a second): 39 days; not run at full size
# there.
# Any Hydra override can be appended: bash bash_scripts/1_3_toys_baselines.sh image_size=64 epochs=5
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

python main_run_experiment.py experiment=table5 dataset=toys "$@"
