#!/usr/bin/env bash
# The emoji results of the README: settings tuned on validation (half the epochs), then folds 0 to 2 at label ratios 0.2
# and 1.0. 2 cores: about 5 hours; what is finished is skipped, what was cut off goes on.
# Any override of an experiment can be appended, e.g. --dry-run, or hydra/launcher=joblib hydra.launcher.n_jobs=2
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

compare=(dataset=emoji "methods=[image_only,mtl_uniform,cf_distill]" "label_ratios=[0.2,1.0]")
python main_run_experiment.py experiment=tune "${compare[@]}" epochs=15 "$@"
python main_run_experiment.py experiment=table5 "${compare[@]}" "$@"
