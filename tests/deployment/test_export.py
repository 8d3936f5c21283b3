"""Exported models give the scores of the run, without this project."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file

from src.artifacts import Predictions
from src.classifiers.finished_run import FinishedRun
from src.deployment.calibration import calibration_of
from src.errors import ConfigError

HEAVY = ("torch", "torchvision", "lightning", "hydra", "timm", "pandas", "sklearn", "src")


@pytest.mark.slow
def test_the_onnx_models_scores_and_probabilities_are_the_runs(trained, tmp_path):
    folder = Path(trained.run("use_model", "export=onnx")["results"])
    run = FinishedRun.choose(trained.outputs_dir / "tiny", "main", None)
    predictions = Predictions.load(run.directory / "predictions.npz")
    probabilities = calibration_of(run, 64).probabilities(predictions.scores)
    items = pd.read_parquet(trained.outputs_dir / "tiny" / "prepared" / "items.parquet").set_index("item_id")
    sources = [next(trained.raw_dir.rglob(items.loc[item, "image_paths"][0])) for item in predictions.item_id]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r})); sys.path.insert(0, {str(folder)!r}); import json; "
        "from label_images import Labeller; labeller = Labeller(); "
        "print(json.dumps([labeller.label(path) for path in sys.argv[1:]]))"
    )
    command = [sys.executable, "-c", code, *map(str, sources), str(tmp_path / "none.png")]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, timeout=120)
    *rows, failed = json.loads(answer.stdout)
    found = np.array([list(row["probabilities"].values()) for row in rows])
    np.testing.assert_allclose(found, probabilities, atol=1e-4)
    thresholds = calibration_of(run, 64).thresholds
    assert [row["labels"] for row in rows] == [
        [label for label, p, t in zip(predictions.labels, row, thresholds, strict=True) if p >= t] for row in found
    ]
    assert failed == {"image": str(tmp_path / "none.png"), "error": "file is missing, or no regular file"}
    shutil.copytree(sources[0].parent, tmp_path / "images" / "within")
    answer = subprocess.run(
        [sys.executable, folder / "label_images.py", tmp_path / "images"], capture_output=True, text=True, check=True
    )
    by_name = {Path(row["image"]).name: row for row in map(json.loads, answer.stdout.splitlines())}
    assert len(by_name) == len(list(sources[0].parent.iterdir()))
    assert [by_name[source.name]["labels"] for source in sources] == [row["labels"] for row in rows]
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 24, 24), dtype=np.uint8)
    with torch.inference_mode():
        expected = run.network(torch.from_numpy(images) / 255)[0].sigmoid().numpy()
    for n in (1, 5):  # the batch is dynamic
        np.testing.assert_allclose(session.run(["scores"], {"images": images[:n]})[0], expected[:n], atol=1e-4)
    card = (folder / "README.md").read_text()
    assert "mtl_uniform on test_resnet" in card
    assert "alpha 0.2" in card


@pytest.mark.slow
def test_the_torch_program_and_the_weights(trained, tmp_path):
    run = FinishedRun.choose(trained.outputs_dir / "tiny", "main", None)
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 24, 24), dtype=np.uint8)
    with torch.inference_mode():
        expected = run.network(torch.from_numpy(images) / 255)[0].sigmoid().numpy()
    folder = Path(trained.run("use_model", "export=torch_export")["results"])
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(path)
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); import numpy as np; from label_images import Labeller; "
        "labeller = Labeller(); print(labeller.probabilities(labeller.load(sys.argv[1])[None]).shape[1])"
    )
    answer = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True, timeout=120)
    assert int(answer.stdout) == expected.shape[1]
    program = torch.export.load(folder / "model.pt2").module()
    np.testing.assert_allclose(program(torch.from_numpy(images))[0].detach().numpy(), expected, atol=1e-5)


@pytest.mark.slow
def test_timm_loads_the_backbone_from_the_folder_alone(trained, tmp_path):
    run = FinishedRun.choose(trained.outputs_dir / "tiny", "main", None)
    folder = Path(trained.run("use_model", "export=safetensors")["results"])
    assert {path.name for path in folder.iterdir()} == {
        *("README.md", "config.json", "heads.safetensors", "model.json", "model.safetensors")
    }
    images = np.random.default_rng(0).random((3, 3, 24, 24), dtype=np.float32)
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys; sys.modules['src'] = None; import numpy, timm, torch; folder, path = sys.argv[1:]; "
        "model = timm.create_model('local-dir:' + folder, pretrained=True).eval(); "
        "data = timm.data.resolve_model_data_config(model); "
        "mean, std = (torch.tensor(data[name]).view(3, 1, 1) for name in ('mean', 'std')); "
        "images = torch.from_numpy(numpy.load(path + '/images.npy')); "
        "numpy.save(path + '/features.npy', model((images - mean) / std).detach().numpy()); "
        "print(data['input_size'], data['crop_pct'])"
    )
    command, offline = [sys.executable, "-c", code, folder, tmp_path], os.environ | {"HF_HUB_OFFLINE": "1"}
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, env=offline, cwd=tmp_path)
    assert answer.stdout.strip() == f"(3, 24, 24) {run.definition['settings']['eval_crop']}"
    with torch.inference_mode():
        expected = run.network.image_features(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "features.npy"), expected, atol=1e-5)
    heads = load_file(folder / "heads.safetensors")
    assert {name for name in run.network.heads.state_dict() if not name.startswith("cf_")} == set(heads)
    assert all(torch.equal(value, run.network.heads.state_dict()[name]) for name, value in heads.items())
    card = ModelCard.load(folder / "README.md")
    assert (card.data.library_name, card.data.license) == ("timm", "other")
    assert card.data.eval_results[0].metric_value == round(run_metrics(run)["val_mAP"], 4)
    assert "# tiny: mtl_uniform on test_resnet" in card.text


def run_metrics(run):
    return json.loads((run.directory / "metrics.json").read_text())


def test_an_unknown_format_is_answered_with_the_known_ones(trained):
    with pytest.raises(ConfigError, match="export should be one of onnx, torch_export, safetensors"):
        trained.run("use_model", "export=tflite")
