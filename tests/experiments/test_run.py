"""An experiment through its command: cells run, a failing one keeps no other from running, nothing is repeated."""

import os
import subprocess
import sys

import pytest

from tests.experiments.test_survey import arguments_of
from tests.pipeline import ROOT

EXPERIMENT = ("experiment=table5", "methods=[image_only,mtl_uniform]", "folds=[0]", "n_resamples=100", "epochs=1")


def run(pipeline, *arguments):
    given = [o for o in arguments_of(pipeline, *EXPERIMENT, *arguments) if o != "epochs=2"]
    return subprocess.run(
        [sys.executable, str(ROOT / "main_run_experiment.py"), *given],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )


def test_a_dry_run_trains_nothing(pipeline):
    answer = run(pipeline, "--dry-run")
    assert answer.returncode == 0, answer.stderr
    assert "method=mtl_uniform label_ratio=1.0 fold=0 seed=0: missing" in answer.stdout
    assert not pipeline.runs("image_only")


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
@pytest.mark.slow
def test_a_failing_cell_is_listed_and_the_others_run(pipeline, launcher):
    launch = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"] if launcher == "joblib" else []
    failing = "label_ratios=[0.0,1.0]"  # nothing is labelled at 0
    answer = run(pipeline, failing, *launch)
    assert answer.returncode == 1
    assert "2 of 5 cells did not finish" in answer.stdout
    assert "method=image_only label_ratio=0.0 fold=0 seed=0: begun" in answer.stdout
    assert len(pipeline.runs("image_only")) == len(pipeline.runs("mtl_uniform")) == 2
    assert "| mtl_uniform |" in answer.stdout
    times = {path: path.stat().st_mtime_ns for path in pipeline.outputs_dir.rglob("classifier/*/*/manifest.json")}
    assert len(times) == 4  # with CF2Label of the fixture
    again = run(pipeline, *launch)
    assert again.returncode == 0, again.stdout
    assert "All: 3 cells, nothing to do" in again.stdout
    assert times == {path: path.stat().st_mtime_ns for path in times}


@pytest.mark.slow
def test_cf_models_are_compared(pipeline):
    arguments = ("experiment=table3", "methods=[]", "recommenders=[most_popular,bpr]", "folds=[0,1]")
    given = [o for o in arguments_of(pipeline, *arguments) if not o.startswith("recommender.")]
    command = [sys.executable, str(ROOT / "main_run_experiment.py"), *given, "recommender.auc_holdout=0.25"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert answer.returncode == 0, answer.stderr
    assert "Table 2" in answer.stdout
    assert "Table 3" in answer.stdout
    assert "Table 4" in answer.stdout
    assert (pipeline.outputs_dir / "tiny" / "evaluation" / "cf_auc.csv").is_file()
