#!/usr/bin/env bash
# Amazon Clothing, Shoes & Jewelry: settings of each method, chosen on validation.
# GPU (1,500 images a second assumed): estimated 7 hours. 2 cores (8 images a second): 56 days; not run at full size
# there.
# Any Hydra override can be appended: bash bash_scripts/3_2_clothing_tune.sh image_size=64 epochs=5
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

python main_run_experiment.py experiment=tune dataset=clothing "$@"
