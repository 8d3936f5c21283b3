#!/usr/bin/env bash
# The emoji results of README and RESULTS.md. On frozen features: settings tuned on validation, then five label ratios,
# folds 0 to 4 and five seeds; a run takes up to 17 seconds of one core. Fine-tuned at 48 px: tuned with half the
# epochs, folds 0 to 4 at label ratios 0.2 and 1.0, folds 0 to 2 at 0.1 and 0.5 for the curves, and controls at 0.2;
# about 3 hours. What is finished is skipped, what was cut off continues.
# Any override of an experiment can be appended: --dry-run, or hydra/launcher=joblib hydra.launcher.n_jobs=2
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

ratios="label_ratios=[0.2,1.0]"
methods="methods=[image_only,mtl_uniform,cf_distill,distill_prior,distill_both,pseudo_label]"
frozen=("$methods" "folds=[0,1,2,3,4]" study=frozen)
controls=("methods=[mtl_shuffled,distill_shuffled,prior_shuffled]" "label_ratios=[0.2]" "${frozen[@]:1}")
python main_run_experiment.py experiment=tune "$methods" "$ratios" n_trials=24 "$@"
python main_run_experiment.py experiment=study "${frozen[@]}" "$@"
python main_run_experiment.py experiment=study "${controls[@]}" "$@"

finetuned="preset=emoji_finetuned"
tuned="methods=[image_only,mtl_uniform,cf_distill]"
methods="methods=[image_only,mtl_uniform,mtl_loss,cf_distill,pseudo_label]"
python main_run_experiment.py experiment=tune $finetuned "$tuned" "$ratios" epochs=10 "$@"
python main_run_experiment.py experiment=table5 $finetuned "$methods" "$ratios" "folds=[0,1,2,3,4]" "$@"
python main_run_experiment.py experiment=label_ratio $finetuned "label_ratios=[0.1,0.5]" "$@"
python main_run_experiment.py experiment=controls $finetuned "folds=[0,1,2,3,4]" "$@"
