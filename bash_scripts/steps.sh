# Sourced by the numbered scripts: the four steps of the paper's experiments for one dataset.
# Each takes the dataset and any Hydra overrides; an override goes to every command that knows it. Everything that is
# finished is skipped, everything that was interrupted goes on, so a script can be started again at any time.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

folds=(0 1 2)
baselines=image_only,sequential,contrastive,mtl_uniform,mtl_interaction,mtl_loss
ratios=0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1.0

# known "PREFIX|PREFIX" OVERRIDE...: those overrides that set something below one of the prefixes.
known() {
  local prefixes="$1" override
  shift
  for override in "$@"; do
    [[ "${override#+}" =~ ^($prefixes)([.=]|$) ]] && printf '%s\n' "$override"
  done
  return 0
}

prepare() { # DATASET OVERRIDE...
  local args
  mapfile -t args < <(known "dataset|outputs_dir|num_workers|download|downloads" "${@:2}")
  python main_prepare_dataset.py dataset="$1" "${args[@]}"
}

train_recommender() { # DATASET RECOMMENDER FOLD SEED OVERRIDE...
  local args
  mapfile -t args < <(known "dataset|outputs_dir|recommender|cf2label|trainer" "${@:5}")
  python main_train_recommender.py dataset="$1" recommender="$2" fold="$3" seed="$4" "${args[@]}"
}

train_classifier() { # DATASET EXPERIMENT OVERRIDE...
  local args
  mapfile -t args < <(known '[^=]*' "${@:3}" | grep -vE '^(num_workers|download|downloads)[.=]' || true)
  python main_train_classifier.py --multirun experiment="[$1${2:+,$2}]" "${args[@]}"
}

report() { # DATASET OVERRIDE...
  local args
  mapfile -t args < <(known "dataset|outputs_dir" "${@:2}")
  python main_predict_testset.py dataset="$1" "${args[@]}"
  python main_evaluate_methods.py dataset="$1" "${args[@]}"
}

# Tables, images, CF models (Table 3) and CF2Label (Table 4) of one fold. Settings of the CF model concern the VAE.
initial() {
  local dataset="$1" others
  shift
  mapfile -t others < <(printf '%s\n' "$@" | grep -vE '^(recommender[.].*)?$' || true)
  prepare "$dataset" "$@"
  train_recommender "$dataset" most_popular 0 0 "${others[@]}"
  train_recommender "$dataset" bpr 0 0 "${others[@]}"
  train_recommender "$dataset" vae 0 0 "$@"
  train_classifier "$dataset" "" method=cf2label recommender=bpr "${others[@]}"
  train_classifier "$dataset" "" method=cf2label "$@"
}

# Weight of the CF loss, chosen on validation with a seed that no reported run has; written to configs/tuned/.
cf_weight() {
  local dataset="$1"
  shift
  prepare "$dataset" "$@"
  train_recommender "$dataset" vae 0 100 "$@"
  train_classifier "$dataset" tune,alpha_sweep method=mtl_uniform "$@"
}

# The six methods of Table 5 over the folds, compared on test.
baselines() {
  local dataset="$1" fold
  shift
  prepare "$dataset" "$@"
  for fold in "${folds[@]}"; do
    train_recommender "$dataset" vae "$fold" 0 "$@"
    train_classifier "$dataset" "" method=cf2label fold="$fold" "$@"
    train_classifier "$dataset" "" method="$baselines" fold="$fold" "$@"
  done
  report "$dataset" "$@"
}

# mAP against the share of images that have labels (Figures 3 and 4).
label_ratio() {
  local dataset="$1" fold
  shift
  prepare "$dataset" "$@"
  for fold in "${folds[@]}"; do
    train_recommender "$dataset" vae "$fold" 0 "$@"
    train_classifier "$dataset" "" method=image_only,mtl_uniform label_ratio="$ratios" fold="$fold" "$@"
  done
  report "$dataset" "$@"
}
