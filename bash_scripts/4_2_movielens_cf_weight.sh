#!/usr/bin/env bash
# MovieLens: weight of the CF loss (alpha), chosen on validation.
# GPU (1,500 images a second assumed): estimated 1 hours. 2 cores (10 images a second): 7 days; not run at
# full size there.
# Any Hydra override can be appended: bash bash_scripts/4_2_movielens_cf_weight.sh image_size=64 epochs=5
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

cf_weight movielens "$@"
