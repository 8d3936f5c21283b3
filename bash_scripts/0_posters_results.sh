#!/usr/bin/env bash
# The MovieLens poster results of RESULTS.md. On frozen features: settings tuned on validation, then six folds and five
# seeds at five label ratios; a run takes up to 15 seconds of one core. Fine-tuned at 64 px: Tables 3 and 4, settings
# tuned with half the epochs, three folds at label ratios 0.2 and 1.0, at 0.2 also the rest of Table 5, a control, and
# six folds of three methods; about 10 hours. What is finished is skipped, what was cut off continues. How to make the
# tables: configs/dataset/movielens_posters.yaml.
# Any override of an experiment can be appended: dataset.raw_dir=... dataset.images_dir=... --dry-run
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

posters=(dataset=movielens_posters "$@")
methods="methods=[image_only,mtl_uniform,cf_distill,distill_prior,distill_both,pseudo_label]"
controls=("methods=[sequential,mtl_loss,mtl_shuffled,distill_shuffled,prior_shuffled]" "label_ratios=[0.1]")
python main_run_experiment.py experiment=tune "$methods" "label_ratios=[0.1,1.0]" n_trials=16 "${posters[@]}"
python main_run_experiment.py experiment=study study=frozen "$methods" "${posters[@]}"
python main_run_experiment.py experiment=study study=frozen "${controls[@]}" "${posters[@]}"

finetuned=(preset=movielens_posters_finetuned "${posters[@]}")
methods="methods=[image_only,mtl_uniform,mtl_loss,cf_distill,pseudo_label,distill_both]"
ratios="label_ratios=[0.2,1.0]"
python main_run_experiment.py experiment=table3 "${posters[@]}"
tuned="methods=[image_only,mtl_uniform,cf_distill]"
python main_run_experiment.py experiment=tune "$tuned" "$ratios" epochs=4 "${finetuned[@]}"
python main_run_experiment.py experiment=table5 "$methods" "$ratios" "${finetuned[@]}"
python main_run_experiment.py experiment=table5 "label_ratios=[0.2]" "${finetuned[@]}"
python main_run_experiment.py experiment=controls "methods=[image_only,cf_distill,distill_shuffled]" "${finetuned[@]}"
six_folds=("methods=[image_only,cf_distill,distill_both]" "label_ratios=[0.2]" "folds=[0,1,2,3,4,5]")
python main_run_experiment.py experiment=table5 "${six_folds[@]}" "${finetuned[@]}"
