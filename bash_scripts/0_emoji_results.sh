#!/usr/bin/env bash
# The emoji results of README and RESULTS.md: settings tuned on validation (half the epochs), folds 0 to 4 at label
# ratios 0.2 and 1.0, folds 0 to 2 at 0.1 and 0.5 for the curves, and controls at 0.2. 2 cores: about 3
# hours as two processes; what is finished is skipped, what was cut off goes on.
# Any override of an experiment can be appended: --dry-run, or hydra/launcher=joblib hydra.launcher.n_jobs=2
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

methods="methods=[image_only,mtl_uniform,mtl_loss,cf_distill,pseudo_label]"
ratios="label_ratios=[0.2,1.0]"
tuned="methods=[image_only,mtl_uniform,cf_distill]"
python main_run_experiment.py experiment=tune "$tuned" "$ratios" epochs=10 "$@"
python main_run_experiment.py experiment=table5 "$methods" "$ratios" "folds=[0,1,2,3,4]" "$@"
python main_run_experiment.py experiment=label_ratio "label_ratios=[0.1,0.5]" "$@"
python main_run_experiment.py experiment=controls "folds=[0,1,2,3,4]" "$@"
