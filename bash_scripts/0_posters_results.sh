#!/usr/bin/env bash
# The MovieLens poster results of RESULTS.md: Tables 3 and 4, settings tuned on validation (half the epochs), then three
# folds at label ratios 0.2 and 1.0, at 0.2 also the rest of Table 5, a control, and six folds of three methods. 2 cores:
# about 10 hours, not run in one go; what is finished is skipped, what was cut off goes on. How to make the tables:
# configs/dataset/movielens_posters.yaml.
# Any override of an experiment can be appended: dataset.raw_dir=... dataset.images_dir=... --dry-run
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

posters=(dataset=movielens_posters "$@")
methods="methods=[image_only,mtl_uniform,mtl_loss,cf_distill,pseudo_label,distill_both]"
ratios="label_ratios=[0.2,1.0]"
python main_run_experiment.py experiment=table3 "${posters[@]}"
tuned="methods=[image_only,mtl_uniform,cf_distill]"
python main_run_experiment.py experiment=tune "$tuned" "$ratios" epochs=4 "${posters[@]}"
python main_run_experiment.py experiment=table5 "$methods" "$ratios" "${posters[@]}"
python main_run_experiment.py experiment=table5 "label_ratios=[0.2]" "${posters[@]}"
python main_run_experiment.py experiment=controls "methods=[image_only,cf_distill,distill_shuffled]" "${posters[@]}"
six_folds=("methods=[image_only,cf_distill,distill_both]" "label_ratios=[0.2]" "folds=[0,1,2,3,4,5]")
python main_run_experiment.py experiment=table5 "${six_folds[@]}" "${posters[@]}"
