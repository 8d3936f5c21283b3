"""Training through the real entry, on the tiny planted dataset."""

import csv
import json

import numpy as np
import pytest
import torch

from src.classifiers.checkpoints import load_checkpoint
from src.classifiers.module import MultitaskModule
from src.errors import ArtifactError, ConfigError, DataError

METHODS = (
    *("image_only", "sequential", "contrastive", "mtl_uniform", "mtl_interaction", "mtl_loss"),
    *("cf_distill", "mtl_distill", "mtl_random"),
)


def weights(run):
    state = load_checkpoint(run / "best.ckpt")["state_dict"]
    return {name: value for name, value in state.items() if not name.startswith("network.cf_head")}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_and_its_loss_falls(pipeline, method):
    metrics = pipeline.classify(method, "label_ratio=0.4", "epochs=4")
    (run,) = pipeline.runs(method)
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    assert len(rows) == (8 if method == "sequential" else 4)
    last_phase = rows[-4:]
    assert float(last_phase[-1]["train/label_loss"]) < float(last_phase[0]["train/label_loss"])
    assert metrics["val_mAP"] == pytest.approx(max(float(row["val/mAP"]) for row in last_phase), abs=1e-6)
    assert json.loads((run / "metrics.json").read_text()) == metrics
    assert json.loads((run / "manifest.json").read_text())["config"]["method"]["name"] == method


def test_alpha_zero_is_image_only_exactly(pipeline):
    assert pipeline.classify("image_only", "label_ratio=0.4")["val_AP"] == pytest.approx(
        pipeline.classify("mtl_uniform", "label_ratio=0.4", "alpha=0")["val_AP"], abs=0
    )
    pairs = [weights(pipeline.runs(method)[0]) for method in ("image_only", "mtl_uniform")]
    assert pairs[0].keys() == pairs[1].keys()
    assert all(torch.equal(pairs[0][name], pairs[1][name]) for name in pairs[0])


def test_alpha_matters_otherwise(pipeline):
    pipeline.classify("image_only", "label_ratio=0.4")
    pipeline.classify("mtl_uniform", "label_ratio=0.4", "alpha=0.5")
    plain, mtl = (weights(pipeline.runs(method)[0]) for method in ("image_only", "mtl_uniform"))
    assert any(not torch.equal(plain[name], mtl[name]) for name in plain)


def test_the_same_seed_gives_the_same_weights_and_another_one_others(pipeline):
    pipeline.classify("image_only")
    (run,) = pipeline.runs("image_only")
    first = weights(run)
    pipeline.classify("image_only", "force=true")
    assert all(torch.equal(first[name], value) for name, value in weights(run).items())
    pipeline.classify("image_only", "seed=1")
    (other,) = set(pipeline.runs("image_only")) - {run}
    assert any(not torch.equal(first[name], value) for name, value in weights(other).items())


def test_a_finished_run_is_skipped(pipeline, monkeypatch):
    first = pipeline.classify("image_only")
    monkeypatch.setattr(MultitaskModule, "training_step", None)
    assert pipeline.classify("image_only") == first


@pytest.mark.slow
def test_a_few_images_can_be_learned_by_heart(pipeline):
    flat = ["augmentation.scale=[0.9,1.0]", *(f"augmentation.{name}=0" for name in ("hue", "grayscale"))]
    pipeline.classify("image_only", "label_ratio=0.1", "epochs=25", *flat)
    (run,) = pipeline.runs("image_only")
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    assert float(rows[-1]["train/label_loss"]) < 0.2 * float(rows[0]["train/label_loss"])


def test_a_checkpoint_of_another_config_is_refused(pipeline):
    pipeline.classify("image_only")
    (run,) = pipeline.runs("image_only")
    (run / "manifest.json").unlink()
    checkpoint = load_checkpoint(run / "last.ckpt")
    torch.save({**checkpoint, "definition_hash": "other"}, run / "last.ckpt")
    with pytest.raises(ArtifactError, match=r"belongs to another config .* force=true"):
        pipeline.classify("image_only")


def test_a_damaged_checkpoint_is_named(pipeline):
    pipeline.classify("image_only")
    (run,) = pipeline.runs("image_only")
    (run / "manifest.json").unlink()
    (run / "last.ckpt").write_bytes((run / "last.ckpt").read_bytes()[:1000])
    with pytest.raises(ArtifactError, match=r"last\.ckpt cannot be read"):
        pipeline.classify("image_only")


def test_a_nan_loss_stops_with_the_step_and_items(pipeline, monkeypatch):
    def nan(*_):
        return torch.full((16,), float("nan"), requires_grad=True)

    monkeypatch.setattr("src.classifiers.module.classification_loss", nan)
    with pytest.raises(DataError, match=r"The loss is nan at step 0 \(train items .*Lower lr or alpha"):
        pipeline.classify("image_only")


def test_images_smaller_than_the_crop_are_refused(pipeline):
    with pytest.raises(ConfigError, match=r"store_size"):
        pipeline.classify("image_only", "image_size=64")


def test_a_dataset_without_interactions_trains_image_only(pipeline, tmp_path):
    alone = pipeline.at(tmp_path / "alone")
    alone.run("prepare_dataset", "dataset.interactions_file=null")
    assert alone.classify("image_only", "dataset.interactions_file=null")["val_mAP"] > 0
    with pytest.raises(DataError, match="image_only"):
        alone.run("train_recommender", "dataset.interactions_file=null")


def test_a_validation_batch_of_one_and_classes_without_positives(pipeline):
    """25 validation items: the last batch holds one. Classes missing in validation are left out of its mAP."""
    metrics = pipeline.classify("image_only", "batch_size=4", "label_ratio=0.05", "epochs=1")
    assert np.isfinite(metrics["val_mAP"])
    assert metrics["classes_without_labelled_positives"]


def test_cf2label_knows_the_planted_labels(shared_pipeline):
    metrics = shared_pipeline.classify("cf2label")
    assert metrics["mAP"] > 0.5
