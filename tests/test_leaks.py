"""Held-out labels and interactions reach nothing before predict: permuting them changes no byte of any artefact."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from src.artifacts import INTERACTIONS_FILE, ITEMS_FILE, PREPARED, Predictions
from src.config.stages import HELD_OUT_INTERACTIONS, TEST_EPOCH
from src.data import folds
from src.data.folds import CONTEXT, TEST, TRAIN, VAL, split_of_parts
from src.errors import ConfigError

METHODS = ("cf2label", "label_issues", "mtl_loss", "cf_distill")


def train_all(pipeline, methods=METHODS):
    """Every artefact between prepare and predict, by path; manifests without times and memory."""
    root = pipeline.outputs_dir / "tiny"
    for stage in ("recommender", "classifier"):
        shutil.rmtree(root / stage, ignore_errors=True)
    pipeline.run("train_recommender")
    for method in methods:
        pipeline.classify(method, "label_ratio=0.4")
    artefacts = {}
    for path in sorted(root.glob("*/**/*")):
        if not path.is_file() or PREPARED in path.parts or path.suffix == ".lock":
            continue
        content = path.read_bytes()
        if path.name == "manifest.json":
            manifest = json.loads(content)
            content = json.dumps({k: v for k, v in manifest.items() if k not in ("wall_clock_s", "peak_memory_mb")})
        artefacts[path.relative_to(root).as_posix()] = content
    return artefacts


def permute_held_out(pipeline):
    """Permute the labels of fold 0's test items, and the users of its validation and test items' interactions."""
    prepared = pipeline.outputs_dir / "tiny" / PREPARED
    rng = np.random.default_rng(1)
    items = pd.read_parquet(prepared / ITEMS_FILE)
    split = split_of_parts(items["part"].to_numpy(), 0)
    labels = items["labels"].to_numpy().copy()
    test = np.flatnonzero(split == TEST)
    labels[test] = labels[rng.permutation(test)]
    assert [list(a) for a in labels] != [list(a) for a in items["labels"]]
    items.assign(labels=labels).to_parquet(prepared / ITEMS_FILE, index=False)
    held_out = np.isin(split, [VAL, TEST])
    interactions = pd.read_parquet(prepared / INTERACTIONS_FILE)
    users = interactions["user_idx"].to_numpy().copy()
    rows = np.flatnonzero(held_out[interactions["item_idx"]])
    users[rows] = users[rng.permutation(rows)]
    assert (users != interactions["user_idx"]).any()
    interactions = interactions.assign(user_idx=users).drop_duplicates()
    interactions.to_parquet(prepared / INTERACTIONS_FILE, index=False)


@pytest.mark.slow
def test_permuting_what_is_held_out_changes_no_artefact(pipeline):
    before = train_all(pipeline)
    assert {path.rsplit("/", 1)[1] for path in before} >= {
        *("item_vectors.npz", "item_probabilities.npz", "item_confidence.npz"),
        *("best.ckpt", "last.ckpt", "metrics.csv", "metrics.json", "manifest.json", "config.yaml"),
    }
    permute_held_out(pipeline)
    after = train_all(pipeline)
    assert before.keys() == after.keys()
    assert [path for path in before if before[path] != after[path]] == []


def seen(fold):
    """The items whose interactions CF models see."""
    return set(fold.items["item_id"].to_numpy()[fold.train_interactions["item_idx"]])


def without_guard_on_labels(items, interactions):
    held_out = items["split"].isin([VAL, TEST]).to_numpy()
    return items, interactions[~held_out[interactions["item_idx"]]]


def without_guard_on_interactions(items, interactions):
    return items.assign(labels=items["labels"].where(items["split"] != TEST, None)), interactions


@pytest.mark.slow
@pytest.mark.parametrize("no_guard", [without_guard_on_labels, without_guard_on_interactions])
def test_the_test_above_fails_without_the_guard(pipeline, monkeypatch, no_guard):
    monkeypatch.setattr(folds, "withhold", no_guard)
    before = train_all(pipeline, ("image_only",))
    permute_held_out(pipeline)
    after = train_all(pipeline, ("image_only",))
    assert before.keys() != after.keys() or any(before[path] != after[path] for path in before)


def test_items_without_image_may_train_cf_models(pipeline):
    fold = folds.open_fold(pipeline.outputs_dir / "tiny" / PREPARED, 0)
    allowed = fold.items.loc[~fold.items["split"].isin([VAL, TEST]), "item_id"]
    assert seen(fold) <= set(allowed)
    assert not (fold.items["split"] == CONTEXT).any()  # every item of the tiny dataset has an image


def test_the_original_leaks_can_be_measured_but_only_in_a_study_of_their_own(pipeline):
    prepared = pipeline.outputs_dir / "tiny" / PREPARED
    valid = folds.open_fold(prepared, 0)
    leaky = folds.open_fold(prepared, 0, [TEST_EPOCH, HELD_OUT_INTERACTIONS])
    test = set(valid.split(TEST)["item_id"])
    assert set(leaky.split(VAL)["item_id"]) == test
    assert leaky.split(VAL)["labels"].notna().all()
    assert leaky.split(TEST)["labels"].isna().all()
    assert set(leaky.split(TRAIN)["item_id"]) == set(valid.split(TRAIN)["item_id"])
    assert not test & seen(valid)
    assert test & seen(leaky)
    only = folds.open_fold(prepared, 0, [HELD_OUT_INTERACTIONS])
    assert only.items_digest == valid.items_digest
    leaks = "leaks=[test_epoch,held_out_interactions]"
    with pytest.raises(ConfigError, match="study of their own"):
        pipeline.classify("image_only", leaks)
    with pytest.raises(ConfigError, match="leaks should be one of test_epoch, held_out_interactions"):
        pipeline.run("train_recommender", "leaks=[labels]")


@pytest.mark.slow
def test_a_leaky_run_is_predicted_on_the_true_test_items(pipeline):
    pipeline.classify("image_only", "leaks=[test_epoch]", "study=leaky")
    counts = pipeline.run("predict_testset", "study=leaky")
    assert (counts["n_predicted"], counts["n_stale"]) == (1, 0)
    predictions = Predictions.load(next(pipeline.outputs_dir.glob("tiny/classifier/image_only/*/predictions.npz")))
    test = folds.open_fold(pipeline.outputs_dir / "tiny" / PREPARED, 0).split(TEST)
    assert set(predictions.item_id) == set(test["item_id"])
