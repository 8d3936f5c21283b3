"""Frozen features: every method trains on them, one file serves all runs, and a wrong file is never used."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch

from src.artifacts import METRICS_FILE, Predictions
from src.classifiers.finished_run import FinishedRun
from src.classifiers.models import features
from src.classifiers.models.network import ImageFeatures
from src.classifiers.runs import features_run, load_fold
from src.classifiers.settings import CF2LABEL, LABEL_ISSUES, resolve
from src.deployment.calibration import calibration_of
from src.errors import ArtifactError, DataError
from src.files import load_yaml
from src.runs import is_finished
from tests.pipeline import CONFIGS

FROZEN = ("features=frozen", "views=2", "label_ratio=0.4")
METHODS = sorted(path.stem for path in (CONFIGS / "method").glob("*.yaml") if path.stem != LABEL_ISSUES)


def features_dir(pipeline, *overrides):
    cfg = resolve(pipeline.config("train_classifier", "method=image_only", *FROZEN, *overrides))
    return features_run(cfg, load_fold(cfg)).directory


@pytest.mark.slow
def test_every_method_trains_on_one_file_of_features(pipeline):
    pipeline.classify("image_only", *FROZEN)
    pipeline.classify("cf2label", "label_ratio=0.4", "method.vectors=shuffled")
    pipeline.classify("cf2label", "method.prior_users=300", *FROZEN)
    pipeline.classify("cf2label", "method.prior_users=300", "method.vectors=shuffled", *FROZEN)
    for method in METHODS:
        if method != CF2LABEL:
            metrics = pipeline.classify(method, *FROZEN)
            assert np.isfinite(metrics["val_mAP"]), method
    assert len(list((pipeline.outputs_dir / "tiny" / "features").glob("*/manifest.json"))) == 1
    pipeline.run("predict_testset")
    pipeline.run("evaluate_methods")
    runs = load_yaml(pipeline.outputs_dir / "tiny" / "results.yaml")["runs"]
    assert len(runs) == len(METHODS) - 1
    assert {run["backbone"] for run in runs} == {"test_resnet frozen"}


def test_new_images_get_the_test_stages_scores(pipeline, tmp_path):
    pipeline.classify("mtl_uniform", *FROZEN, "alpha=0.2")
    pipeline.run("predict_testset")
    run = FinishedRun.choose(pipeline.outputs_dir / "tiny", "main", None)
    predictions = Predictions.load(run.directory / "predictions.npz")
    assert not any("image_features" in name for name in run.network.heads.state_dict())
    items = pd.read_parquet(pipeline.outputs_dir / "tiny" / "prepared" / "items.parquet").set_index("item_id")
    images = tmp_path / "new"
    images.mkdir()
    for item in predictions.item_id:
        source = next(pipeline.raw_dir.rglob(items.loc[item, "image_paths"][0]))
        (images / f"{item}.png").write_bytes(source.read_bytes())
    labelled = pipeline.run("use_model", f"images={images}", f"top_k={len(predictions.labels)}")
    lines = map(json.loads, (tmp_path / labelled["results"] / "labels.jsonl").read_text().splitlines())
    found = {line["image"].split("/")[-1]: {e["label"]: e["probability"] for e in line["labels"]} for line in lines}
    probabilities = calibration_of(run, 64).probabilities(predictions.scores)
    for item, expected in zip(predictions.item_id, probabilities, strict=True):
        values = [found[f"{item}.png"][label] for label in predictions.labels]
        assert values == pytest.approx(expected, abs=5e-3)  # features are stored at half precision


def test_a_cf_loss_changes_the_labels_through_the_hidden_layer(pipeline):
    same = (*FROZEN, "hidden_size=16", "dropout=0.2")
    scores = {}
    for method, weight in (("image_only", 0.0), ("mtl_uniform", 0.0), ("mtl_uniform", 1.0)):
        pipeline.classify(method, *same, f"alpha={weight}")
        directory = next(path for path in pipeline.runs(method) if path.name not in map(str, scores))
        network = FinishedRun.open(directory).network
        scores[directory.name] = network.heads.label_head.hidden[0].weight
    alone, unweighted, weighted = scores.values()
    assert torch.equal(alone, unweighted)
    assert not torch.allclose(alone, weighted, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("given", "file"), [("onnx", "model.onnx"), ("torch_export", "model.pt2")])
def test_an_export_holds_backbone_and_heads_in_one_file(pipeline, given, file):
    pipeline.classify("image_only", *FROZEN)
    exported = Path(pipeline.run("use_model", f"export={given}")["results"]) / file
    network = FinishedRun.choose(pipeline.outputs_dir / "tiny", "main", None).network
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 24, 24), dtype=np.uint8)
    with torch.inference_mode():
        expected = network.logits(torch.from_numpy(images)).sigmoid().numpy()
    if given == "onnx":
        found = onnxruntime.InferenceSession(exported).run(["scores"], {"images": images})[0]
    else:
        found = torch.export.load(exported).module()(torch.from_numpy(images))[0].detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_an_extraction_that_was_cut_off_ends_with_the_same_bytes(pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "BATCH", 16)
    pipeline.classify("image_only", *FROZEN)
    whole = (features_dir(pipeline) / features.FEATURES_FILE).read_bytes()
    again = pipeline.at(tmp_path / "again")
    again.run("prepare_dataset")
    seen, extract = [], ImageFeatures.views

    def cut_off(*arguments):
        seen.append(1)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return extract(*arguments)

    monkeypatch.setattr(ImageFeatures, "views", cut_off)
    with pytest.raises(KeyboardInterrupt):
        again.classify("image_only", *FROZEN)
    part = features_dir(again) / features.PART_FILE
    assert 0 < part.stat().st_size < len(whole)
    with part.open("ab") as stream:
        stream.write(b"half a row")
    again.classify("image_only", *FROZEN)
    assert (features_dir(again) / features.FEATURES_FILE).read_bytes() == whole
    n_batches = -(-120 // 16)
    assert len(seen) == n_batches + 1  # those before the cut are not made again
    assert not part.exists()


@pytest.mark.parametrize("damage", ["cut off", "of other weights", "of another store", "gone"])
def test_a_wrong_file_of_features_is_named_and_not_used(pipeline, damage):
    pipeline.classify("image_only", *FROZEN)
    folder = features_dir(pipeline)
    path = folder / features.FEATURES_FILE
    if damage == "cut off":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "of other weights":
        path.write_bytes(np.zeros(path.stat().st_size // 2, np.float16).tobytes())
    elif damage == "of another store":
        about = json.loads((folder / METRICS_FILE).read_text())
        (folder / METRICS_FILE).write_text(json.dumps({**about, "n_images": 7}))
    else:
        path.unlink()
    with pytest.raises(ArtifactError, match=r"delete .*features.*makes them again"):
        pipeline.classify("image_only", *FROZEN, "seed=1")


def test_features_belong_to_a_backbone_its_size_views_and_weights(pipeline, tmp_path):
    places = [
        features_dir(pipeline, *given)
        for given in ((), ("views=1",), ("image_size=32",), ("backbone.architecture=test_vit",), ("eval_crop=0.9",))
    ]
    for content in (b"one", b"other"):
        weights = tmp_path / "weights.pth"
        weights.write_bytes(content)
        places.append(features_dir(pipeline, f"backbone.weights={weights}"))
    assert len(set(places)) == 7
    assert features_dir(pipeline, "seed=3", "lr=0.1", "hidden_size=8", "fold=1") == places[0]


def test_features_that_are_not_finite_are_refused(pipeline, monkeypatch):
    monkeypatch.setattr(ImageFeatures, "views", lambda *_: torch.full((64, 2, 32), 1e9))
    with pytest.raises(DataError, match="overflows at half precision"):
        pipeline.classify("image_only", *FROZEN)
    assert not is_finished(features_dir(pipeline))


@pytest.mark.parametrize(("steps", "epochs"), [(1, 1), (3, 1), (4, 2), (8, 3)])
def test_steps_are_whole_epochs(pipeline, steps, epochs):
    pipeline.classify("image_only", "features=frozen", "label_ratio=1.0", "batch_size=32", f"steps={steps}")
    last = torch.load(pipeline.runs("image_only")[0] / "last.ckpt", weights_only=True)
    assert last["epoch"] == epochs - 1
