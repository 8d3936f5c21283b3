"""Training through the real entry, on the tiny planted dataset."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch

from src.artifacts import IMAGES_DIR, PREPARED
from src.classifiers.models.checkpoints import AtomicCheckpointIO, load_checkpoint
from src.classifiers.training.loop import check_store_size
from src.classifiers.training.module import MultitaskModule
from src.data.images.store import ImageStore
from src.errors import ArtifactError, ConfigError, DataError
from tests.pipeline import slow_but

METHODS = (
    *("image_only", "sequential", "contrastive", "mtl_uniform", "mtl_interaction", "mtl_loss"),
    *("cf_distill", "mtl_random"),
)

FAST = ("image_only", "sequential", "mtl_loss", "cf_distill")


def weights(run):
    state = load_checkpoint(run / "best.ckpt")["state_dict"]
    return {name: value for name, value in state.items() if not name.startswith("network.cf_head")}


@pytest.mark.parametrize("method", slow_but(METHODS, *FAST))
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


@pytest.mark.slow
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
    AtomicCheckpointIO().save_checkpoint({**checkpoint, "definition_hash": "other"}, run / "last.ckpt")
    with pytest.raises(ArtifactError, match=r"belongs to another config .* force=true"):
        pipeline.classify("image_only")


def interrupt(pipeline, monkeypatch):
    """Stop a run of three epochs in the last one; returns its directory."""
    step = MultitaskModule.training_step

    def stop_in_the_third_epoch(self, batch, batch_idx):
        if self.current_epoch == 2:
            raise RuntimeError("stopped")
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(MultitaskModule, "training_step", stop_in_the_third_epoch)
        with pytest.raises(RuntimeError, match="stopped"):
            pipeline.classify("image_only", "epochs=3")
    return pipeline.runs("image_only")[0]


def test_training_goes_on_from_the_checkpoint_before_a_damaged_one(
    pipeline, shared_pipeline, monkeypatch, caplog, tmp_path
):
    other = shared_pipeline.at(tmp_path / "other")
    shutil.copytree(shared_pipeline.outputs_dir, other.outputs_dir)
    whole = other.classify("image_only", "epochs=3")
    run = interrupt(pipeline, monkeypatch)
    content = bytearray((run / "last.ckpt").read_bytes())
    content[len(content) // 2] ^= 1  # one bit of a weight, which torch.load might not notice
    (run / "last.ckpt").write_bytes(content)
    assert pipeline.classify("image_only", "epochs=3") == whole
    assert "last.ckpt is damaged: its SHA-256 should be" in caplog.text
    assert "Continuing from the checkpoint before it" in caplog.text
    assert not list(run.glob("previous*"))


def test_damaged_checkpoints_are_named(pipeline, monkeypatch):
    run = interrupt(pipeline, monkeypatch)
    for name in ("last.ckpt", "previous.ckpt"):
        (run / name).write_bytes((run / name).read_bytes()[:1000])
    with pytest.raises(ArtifactError, match=r"previous\.ckpt is damaged: its SHA-256"):
        pipeline.classify("image_only", "epochs=3")
    for path in run.glob("*.sha256"):
        path.unlink()
    with pytest.raises(ArtifactError, match=r"previous\.ckpt cannot be read"):
        pipeline.classify("image_only", "epochs=3")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(),
                                   RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")])  # fmt: skip
def test_a_batch_that_does_not_fit_says_what_to_lower(pipeline, monkeypatch, error):
    def exhausted(*_):
        raise error

    monkeypatch.setattr("src.classifiers.task.classification_loss", exhausted)
    with pytest.raises(ConfigError, match="Lower batch_size"):
        pipeline.classify("image_only")


def test_a_nan_loss_stops_with_the_step_and_items(pipeline, monkeypatch):
    def nan(*_):
        return torch.full((16,), float("nan"), requires_grad=True)

    monkeypatch.setattr("src.classifiers.task.classification_loss", nan)
    expected = r"The loss is nan in epoch 0, batch 0; .*Lower lr or alpha.* items: item\d{4}(, item\d{4}){15}\."
    with pytest.raises(DataError, match=expected):
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


def test_store_smaller_than_the_crop(shared_pipeline):
    store = ImageStore.open(shared_pipeline.outputs_dir / "tiny" / PREPARED / IMAGES_DIR)
    largest = int(0.875 * store.short_side)
    check_store_size(store, largest, 0.875)
    wanted = rf"at least image_size={largest + 1} pixels.*have {store.short_side}.*dataset=tiny dataset\.store_size="
    with pytest.raises(ConfigError, match=wanted):
        check_store_size(store, largest + 1, 0.875)
