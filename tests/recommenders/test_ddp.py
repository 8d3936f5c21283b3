"""Two processes fit the VAE that one fits."""

import os
import subprocess
import sys

import numpy as np
import pytest

from src.artifacts import CURVES_FILE, METRICS_FILE, VECTORS_FILE, ItemVectors
from src.files import load_json
from tests.pipeline import ROOT

pytestmark = pytest.mark.slow


def fit(pipeline, n_processes, *overrides):
    """Fit with one or two processes; returns the run's directory."""
    command = [sys.executable, "main_train_recommender.py", *pipeline.overrides("train_recommender"), *overrides]
    command += ["trainer.accelerator=cpu", f"trainer.devices={n_processes}", "force=true"]
    command += ["trainer=ddp"] if n_processes > 1 else []
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)
    assert answer.returncode == 0, answer.stderr[-3000:]
    (directory,) = (pipeline.outputs_dir / "tiny" / "recommender" / "vae").glob("fold0-*")
    return directory


def contents(directory):
    vectors = ItemVectors.load(directory / VECTORS_FILE)
    curve = np.genfromtxt(directory / CURVES_FILE, delimiter=",", names=True)
    return vectors, load_json(directory / METRICS_FILE), curve


def test_vectors_curve_and_auc_are_those_of_one_process(pipeline):
    # 33 users a batch: the two shares differ; plain steps of one size, so that rounding does not grow
    overrides = ["recommender.batch_size=33", "recommender.max_steps=30", "recommender.adam_eps=1.0"]
    import shutil

    shutil.rmtree(pipeline.outputs_dir / "tiny" / "recommender")
    one, auc_of_one, curve_of_one = contents(fit(pipeline, 1, *overrides))
    two, auc_of_two, curve_of_two = contents(fit(pipeline, 2, *overrides))
    assert two.item_id.tolist() == one.item_id.tolist()
    assert one.vectors.std() > 0.01
    np.testing.assert_allclose(two.vectors, one.vectors, atol=1e-5)
    np.testing.assert_allclose(two.bias, one.bias, atol=1e-5)
    assert auc_of_two["auc_strict"] == pytest.approx(auc_of_one["auc_strict"], abs=1e-3)
    for name in curve_of_one.dtype.names:
        np.testing.assert_allclose(curve_of_two[name], curve_of_one[name], rtol=1e-4)
