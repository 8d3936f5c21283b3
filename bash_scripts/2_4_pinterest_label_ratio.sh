#!/usr/bin/env bash
# Pinterest: mAP against label ratio (Figures 3 and 4), three folds.
# GPU (1,500 images a second assumed): estimated 8 hours. 2 cores (8 images a second assumed): 56 days; not run at full
# size there.
# Any Hydra override can be appended: bash bash_scripts/2_4_pinterest_label_ratio.sh image_size=64 epochs=5
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

python main_run_experiment.py experiment=label_ratio dataset=pinterest "$@"
