#!/usr/bin/env bash
# Amazon Clothing, Shoes & Jewelry: tables, images, CF models compared (Tables 2, 3 and 4).
# GPU: estimated 30 minutes. 2 cores: about an hour; not run at full size there.
# Any Hydra override can be appended: bash bash_scripts/3_1_clothing_initial.sh download=true
# Without images, from the interactions alone: dataset=clothing_interactions dataset.raw_dir=FOLDER
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

python main_run_experiment.py experiment=table3 dataset=clothing "$@"
