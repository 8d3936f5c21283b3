#!/usr/bin/env bash
# Amazon Toys & Games: weight of the CF loss (alpha), chosen on validation.
# GPU (1,500 images a second assumed): estimated 3 hours. 2 cores (8 images a second): 21 days; not run at
# full size there.
# Any Hydra override can be appended: bash bash_scripts/1_2_toys_cf_weight.sh image_size=64 epochs=5
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

cf_weight toys "$@"
