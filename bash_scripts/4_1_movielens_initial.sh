#!/usr/bin/env bash
# MovieLens: tables, images, CF models and CF2Label.
# GPU: estimated 1 hour. 2 cores: estimated 2 hours (10 M ratings); not run at full size there.
# Any Hydra override can be appended: bash bash_scripts/4_1_movielens_initial.sh dataset.raw_dir=...
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

initial movielens "$@"
