#!/usr/bin/env bash
# Pinterest: settings of each method, chosen on validation.
# GPU (1,500 images a second assumed): estimated 78 minutes. 2 cores (8 images a second assumed): 10 days; not run at
# full size there.
# Any Hydra override can be appended: bash bash_scripts/2_2_pinterest_tune.sh image_size=64 epochs=5
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

python main_run_experiment.py experiment=tune dataset=pinterest "$@"
