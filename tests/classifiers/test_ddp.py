"""Two processes learn what one learns: global normalisers, the same images in the same steps, whole validation sets."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from src.artifacts import CURVES_FILE, METRICS_FILE
from src.files import load_json
from tests.pipeline import ROOT

pytestmark = pytest.mark.slow

SAME_PIXELS = [f"augmentation.{name}=0" for name in ("brightness", "contrast", "saturation", "hue", "grayscale")]


def train(pipeline, folder, n_processes, *overrides):
    """Train in one or two processes; returns the run's directory and the first step's gradients."""
    devices = [f"trainer.devices={n_processes}", f"trainer.strategy={'ddp' if n_processes > 1 else 'auto'}"]
    gradients = folder / f"gradients{n_processes}.npz"
    command = [
        *(sys.executable, str(ROOT / "tests" / "classifiers" / "ddp_worker.py"), str(gradients)),
        *(*pipeline.overrides("train_classifier"), "trainer.accelerator=cpu", *devices, *SAME_PIXELS, *overrides),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)
    assert answer.returncode == 0, answer.stderr[-3000:]
    method = next(word.removeprefix("method=") for word in overrides if word.startswith("method="))
    return pipeline.runs(method)[0], np.load(gradients)


@pytest.mark.parametrize("method", ["mtl_loss", "cf_distill"])
def test_gradients_weights_and_metrics_are_those_of_one_process(pipeline, shared_pipeline, tmp_path, method):
    import shutil

    other = shared_pipeline.at(tmp_path / "other")
    shutil.copytree(shared_pipeline.outputs_dir, other.outputs_dir)
    overrides = (f"method={method}", "label_ratio=0.4", "optimizer=sgd_multistep", "lr=0.05")
    one, gradients_of_one = train(pipeline, tmp_path, 1, *overrides)
    two, gradients_of_two = train(other, tmp_path, 2, *overrides)
    assert one.name == two.name  # devices define no result
    assert set(gradients_of_one) == set(gradients_of_two)
    for name, gradient in gradients_of_one.items():
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(gradients_of_two[name], gradient, atol=1e-5 * scale + 1e-8, err_msg=name)
    states = [torch.load(run / "last.ckpt", weights_only=True)["state_dict"] for run in (one, two)]
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, atol=1e-4, rtol=1e-3, msg=name)
    metrics = [load_json(run / METRICS_FILE) for run in (one, two)]
    assert metrics[1]["val_mAP"] == pytest.approx(metrics[0]["val_mAP"], abs=1e-3)
    curves = [np.genfromtxt(run / CURVES_FILE, delimiter=",", names=True) for run in (one, two)]
    for name in curves[0].dtype.names:
        np.testing.assert_allclose(curves[1][name], curves[0][name], atol=1e-3, rtol=1e-3, err_msg=name)
