#!/usr/bin/env bash
# The emoji results of the README: settings tuned on validation (half the epochs), then folds 0 to 2 at label ratios 0.2
# and 1.0. 2 cores: about 3 hours; every step is skipped when finished and resumed when not.
# Overrides of the classifier can be appended, e.g. trainer.progress_bar=false.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

methods="image_only mtl_uniform cf_distill"
python main_prepare_dataset.py dataset=emoji
python main_train_recommender.py dataset=emoji fold=0 seed=100
for ratio in 0.2 1.0; do
  python main_train_classifier.py dataset=emoji method=cf2label label_ratio="$ratio" seed=100
  for method in $methods; do
    python main_train_classifier.py dataset=emoji experiment=[emoji,tune] epochs=15 method="$method" label_ratio="$ratio" "$@"
  done
done
for fold in 0 1 2; do
  python main_train_recommender.py dataset=emoji fold="$fold"
  for ratio in 0.2 1.0; do
    python main_train_classifier.py dataset=emoji method=cf2label label_ratio="$ratio" fold="$fold"
    for method in $methods; do
      python main_train_classifier.py dataset=emoji experiment=emoji method="$method" label_ratio="$ratio" fold="$fold" "$@"
    done
  done
done
python main_predict_testset.py dataset=emoji
python main_evaluate_methods.py dataset=emoji
