#!/usr/bin/env bash
# MovieLens: mAP against label ratio (Figures 3 and 4), three folds.
# GPU (1,500 images a second assumed): estimated 9 hours. 2 cores (10 images a second): 52 days; not run at full size
# there.
# Any Hydra override can be appended: bash bash_scripts/4_4_movielens_label_ratio.sh image_size=64 epochs=5
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

python main_run_experiment.py experiment=label_ratio dataset=movielens "$@"
