#!/usr/bin/env bash
# Every benchmark, peer against ours, and BENCHMARKS.md from what they wrote. 2 cores: under 40 minutes.
source "$(dirname "${BASH_SOURCE[0]}")/../bash_scripts/environment.sh"
export PYTHONPATH=.

python main_prepare_dataset.py dataset=emoji
for name in amazon_metadata image_pipeline freed_memory vae auc bootstrap training_loop frozen_stages frozen_features sampled_softmax scaling; do
  python "benchmarks/$name.py"
done
posters=../shared/data/movielens-posters
if [ -d "$posters" ]; then
  python main_prepare_dataset.py dataset=movielens_posters dataset.raw_dir=$posters \
    dataset.images_dir=../shared/data/ml-latest-small/posters
  OVERRIDES="dataset=movielens_posters" python benchmarks/frozen_features.py
  PREPARED=outputs/movielens_posters/prepared BACKBONE=mobilenet_v2 SIZE=96 python benchmarks/training_loop.py
fi
python benchmarks/summarize.py
