#!/usr/bin/env bash
# The whole pipeline on data/emoji: three methods, one fold, a fifth of the labels.
# 3 minutes on 2 idle cores once the requirements are installed; a second start skips what is finished.
# Any override of the classifier can be appended: bash bash_scripts/0_quickstart.sh epochs=30
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

python main_prepare_dataset.py dataset=emoji
python main_train_recommender.py dataset=emoji recommender=vae
python main_train_classifier.py dataset=emoji method=cf2label method.prior_users=300 label_ratio=0.2
for method in image_only mtl_uniform distill_prior; do
  python main_train_classifier.py dataset=emoji method="$method" label_ratio=0.2 study=quickstart "$@"
done
python main_predict_testset.py dataset=emoji study=quickstart
python main_evaluate_methods.py dataset=emoji study=quickstart
