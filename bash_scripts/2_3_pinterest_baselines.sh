#!/usr/bin/env bash
# Pinterest: the six methods of Table 5 over three folds, compared on test.
# GPU (1,500 images a second assumed): estimated 1 hours. 2 cores (8 images a second assumed): 10 days; not run at
# full size there.
# Any Hydra override can be appended: bash bash_scripts/2_3_pinterest_baselines.sh image_size=64 epochs=5
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

baselines pinterest "$@"
