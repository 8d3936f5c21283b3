"""Datasets that lack images, labels, interactions or the item table, through the stages that can do without."""

import json

import pandas as pd
import pytest

from src.errors import ArtifactError, ConfigError, DataError
from tests.data.tiny import write_tiny_dataset
from tests.pipeline import Pipeline

NO_IMAGES = ("dataset.images_dir=null",)
NO_LABELS = ("dataset.labels_column=null",)
NO_INTERACTIONS = ("dataset.interactions_file=null",)
ONLY_INTERACTIONS = ("dataset.items_file=null", "dataset.images_dir=null")


@pytest.fixture
def fresh(tmp_path):
    return Pipeline(write_tiny_dataset(tmp_path / "raw"), tmp_path / "outputs")


def items_of(pipeline):
    return pd.read_parquet(pipeline.outputs_dir / "tiny" / "prepared" / "items.parquet")


def test_without_images_cf_models_and_cf2label_run(fresh):
    table = pd.read_csv(fresh.raw_dir / "items.csv").drop(columns="image")
    table.to_csv(fresh.raw_dir / "items.csv", index=False)
    with pytest.raises(DataError, match=r"'image', but has .*Set dataset\.image_column to the right name, or to null"):
        fresh.run("prepare_dataset")
    statistics = fresh.run("prepare_dataset", *NO_IMAGES)
    assert (statistics["images"], statistics["items"], statistics["labelled_items"]) == (0, 120, 120)
    assert items_of(fresh)["part"].nunique() == 20
    result = fresh.run("train_recommender", *NO_IMAGES)
    assert result["auc_strict"] > 0.6
    assert fresh.classify("cf2label", *NO_IMAGES)["mAP"] > 0.5
    with pytest.raises(ArtifactError, match=r"was prepared without images, which this stage needs"):
        fresh.classify("image_only", *NO_IMAGES)


def test_without_images_labels_are_counted_over_all_items(fresh):
    fresh.run("prepare_dataset", *NO_IMAGES, "dataset.image_column=null", "dataset.min_items_per_label=40")
    counts = pd.read_csv(fresh.raw_dir / "items.csv")["labels"].str.split("|").explode().value_counts()
    report = json.loads((fresh.outputs_dir / "tiny" / "prepared" / "report.json").read_text())
    assert report["items_per_label"] == {name: int(n) for name, n in sorted(counts.items()) if n >= 40}
    assert report["labels"]["dropped"] == {name: int(n) for name, n in sorted(counts.items()) if n < 40}


def test_without_labels_cf_models_run(fresh, caplog):
    statistics = fresh.run("prepare_dataset", *NO_LABELS)
    assert (statistics["images"], statistics["labels"]) == (120, 0)
    assert "No item of tiny has a label: CF models can be trained, and nothing else." in caplog.text
    assert fresh.run("train_recommender", *NO_LABELS)["auc_strict"] > 0.6
    for method in ("cf2label", "image_only"):
        with pytest.raises(ConfigError, match=f"method={method} needs labels, but the dataset has none"):
            fresh.classify(method, *NO_LABELS)


def test_without_interactions_images_alone_are_classified(fresh):
    assert fresh.run("prepare_dataset", *NO_INTERACTIONS)["users"] == 0
    with pytest.raises(DataError, match="train with method=image_only, which needs none"):
        fresh.run("train_recommender", *NO_INTERACTIONS)
    assert fresh.classify("image_only", *NO_INTERACTIONS)["n_labelled"] > 50


def test_items_that_only_interactions_name(fresh):
    pairs = pd.read_csv(fresh.raw_dir / "interactions.csv")
    (fresh.raw_dir / "items.csv").unlink()
    statistics = fresh.run("prepare_dataset", *ONLY_INTERACTIONS)
    assert items_of(fresh)["item_id"].tolist() == sorted(pairs["item_id"].unique())
    assert statistics["interactions"] == len(pairs)
    assert fresh.run("train_recommender", *ONLY_INTERACTIONS)["auc_strict"] > 0.6
    with pytest.raises(ConfigError, match=r"items_file and dataset\.interactions_file should not both be null"):
        fresh.run("prepare_dataset", *ONLY_INTERACTIONS, *NO_INTERACTIONS)


def test_empty_cells_may_mean_that_there_is_no_label(fresh):
    table = pd.read_csv(fresh.raw_dir / "items.csv")
    table.loc[:9, "labels"] = ""
    table.to_csv(fresh.raw_dir / "items.csv", index=False)
    assert fresh.run("prepare_dataset")["labelled_items"] == 110
    assert fresh.run("prepare_dataset", "dataset.empty_is_none=true")["labelled_items"] == 120


def test_items_in_one_group_are_said(fresh, caplog):
    table = pd.read_csv(fresh.raw_dir / "items.csv")
    table.assign(shop="one").to_csv(fresh.raw_dir / "items.csv", index=False)
    fresh.run("prepare_dataset", "dataset.group_column=shop")
    assert (
        "Fold(s) 0, 1, 2, 3, 4, 5 have no train, validation or test items: 120 items lie in 1 group(s)" in caplog.text
    )
    with pytest.raises(DataError, match="at label ratio 1; label more items, or let image_group"):
        fresh.classify("image_only", "dataset.group_column=shop")
