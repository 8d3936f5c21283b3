"""Items with several images: one is drawn in training, predictions are averaged over them."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from src.artifacts import Predictions
from src.classifiers.finished_run import FinishedRun
from src.classifiers.models.evaluation_batches import CentreCrops, EvaluationBatches, average, predict_scores
from src.classifiers.runs import load_fold
from src.classifiers.settings import resolve
from src.classifiers.targets.batches import TrainingBatches
from src.classifiers.targets.inputs import build_inputs
from src.data.images.store import ImageStore
from tests.data.raw_formats import read_source
from tests.data.tiny import tiny_config, write_tiny_dataset
from tests.pipeline import Pipeline

SEVERAL = ("dataset.image_separator=';'",)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """The tiny dataset; item n shares its class with item n + 60 in name only, and has one, two or three images."""
    folder = tmp_path_factory.mktemp("photos")
    pipeline = Pipeline(write_tiny_dataset(folder / "raw"), folder / "outputs")
    table = pd.read_csv(pipeline.raw_dir / "items.csv")[:60]
    more = [
        [f"item{n:04d}.png"] + [f"item{60 + n:04d}.png"] * (n % 3 > 0) + ["gone.png"] * (n % 3 > 1) for n in range(60)
    ]
    table["image"] = [";".join(own) for own in more]
    table.to_csv(pipeline.raw_dir / "items.csv", index=False)
    pairs = pd.read_csv(pipeline.raw_dir / "interactions.csv")
    pairs[pairs["item_id"].isin(table["item_id"])].to_csv(pipeline.raw_dir / "interactions.csv", index=False)
    pipeline.run("prepare_dataset", *SEVERAL)
    return pipeline


@pytest.fixture(scope="module")
def store(photos):
    return ImageStore.open(photos.outputs_dir / "tiny" / "prepared" / "images")


def test_the_store_holds_images_and_folds_know_items(photos, store):
    prepared = photos.outputs_dir / "tiny" / "prepared"
    items = pd.read_parquet(prepared / "items.parquet")
    assert len(store) == 100
    assert len(items) == 60
    assert [len(paths) for paths in items["image_paths"]] == [1, 2, 2] * 20
    rows, item = store.images_of(["item0001", "item0000", "item0002"])
    assert store.item_id[rows].tolist() == ["item0001"] * 2 + ["item0000"] + ["item0002"] * 2
    assert item.tolist() == [0, 0, 1, 2, 2]
    report = json.loads((prepared / "report.json").read_text())
    assert report["statistics"]["images"] == 100
    assert report["images"]["refused"]["file is missing"]["count"] == 20
    assert report["items"]["whose_image_was_refused"] == 0


def test_images_of_one_content_join_their_items(tmp_path):
    folder = write_tiny_dataset(tmp_path / "raw", n_items=30)
    table = pd.read_csv(folder / "items.csv")
    table.loc[[1, 2], "image"] += ";item0000.png"
    table.to_csv(folder / "items.csv", index=False)
    Pipeline(folder, tmp_path / "outputs").run("prepare_dataset", *SEVERAL)
    groups = pd.read_parquet(tmp_path / "outputs" / "tiny" / "prepared" / "items.parquet")["image_group"]
    assert groups[:3].nunique() == 1
    assert groups.nunique() == 28


def test_lists_of_paths_need_no_separator(tmp_path):
    (tmp_path / "items.csv").write_text(
        'item_id;image;labels\n1;["a.png", "b;1.png"];x\n2;c;1.png;\n'.replace(";1", ",1")
    )
    (tmp_path / "interactions.csv").write_text("user_id,item_id\nu,1\n")
    cfg = tiny_config(tmp_path, tmp_path / "outputs").dataset
    assert read_source(cfg).items["image_paths"].tolist() == [["a.png", "b,1.png"], ["c,1.png"]]
    table = pd.DataFrame({"item_id": ["1", "2", "3"], "image": [["a", "b"], [], None], "labels": ["x", "x", "x"]})
    table.to_parquet(tmp_path / "items.parquet")
    cfg.items_file = "items.parquet"
    assert read_source(cfg).items["image_paths"].tolist() == [["a", "b"], [], []]


def test_training_draws_any_image_of_an_item_and_only_its_own(photos, store):
    cfg = resolve(photos.config("train_classifier", "method=image_only", *SEVERAL))
    inputs = build_inputs(cfg, load_fold(cfg), store)
    seen = []
    batches = TrainingBatches(cfg, inputs, lambda rows, *_: seen.append(rows) or torch.zeros(len(rows), 1), 0, 1)
    drawn = {
        (item, row) for step in range(60) for item, row in zip(batches[step]["item"].tolist(), seen[-1], strict=True)
    }
    names = {(inputs.item_id[item], int(row)) for item, row in drawn}
    rows, item = store.images_of(inputs.item_id)
    assert names == set(zip(inputs.item_id[item].tolist(), rows.tolist(), strict=True))


def test_predictions_are_averaged_over_the_images_of_an_item(photos, store):
    photos.classify("image_only", *SEVERAL)
    photos.run("predict_testset", *SEVERAL)
    (directory,) = photos.runs("image_only")
    found = Predictions.load(directory / "predictions.npz")
    run = FinishedRun.open(directory)
    rows, item = store.images_of(found.item_id)
    assert len(rows) > len(found.item_id)
    every = np.arange(len(rows))
    settings = run.definition["settings"]
    batches = EvaluationBatches(CentreCrops(store, settings["image_size"], settings["eval_crop"]), (rows, every), 8)
    alone = predict_scores(run.network, batches, torch.device("cpu"))
    logits = np.log(alone / (1 - alone))
    means = np.stack([logits[item == n].mean(axis=0) for n in range(len(found.item_id))])
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp(-means)), atol=1e-5)


def test_average_by_hand():
    logits = torch.tensor([[1.0], [3.0], [10.0]])
    assert average(logits, torch.tensor([1, 1, 0]), 3).tolist() == [[10.0], [2.0], [0.0]]


def test_frozen_features_are_of_all_images(photos):
    result = photos.classify("image_only", "features=frozen", *SEVERAL)
    assert result["n_train"] + result["n_val"] < 60
    (about,) = (photos.outputs_dir / "tiny" / "features").glob("*/metrics.json")
    assert json.loads(about.read_text())["n_images"] == 100
