"""Numbers instead of classes, from the tables to the comparison; what is about classes refuses them."""

import numpy as np
import pandas as pd
import pytest

from src.artifacts import Predictions
from src.config.datasets import REGRESSION
from src.data.folds import TEST, open_fold
from src.errors import ConfigError, DataError
from tests.data.tiny import write_tiny_dataset
from tests.pipeline import Pipeline

TUNE = ("tune=true", "study=tune", "seed=100")
COLUMNS = "dataset.value_columns=[warmth,area]"


class Numbers(Pipeline):
    """The tiny dataset with two numbers an item."""

    def overrides(self, stage):
        own = [] if stage == "evaluate_methods" else [COLUMNS]
        return [*super().overrides(stage), *own]


@pytest.fixture
def numbers(tmp_path):
    """Warmth shows in the colour and is in the hundreds; area is small; three items miss one of them."""
    raw = write_tiny_dataset(tmp_path / "raw")
    items = pd.read_csv(raw / "items.csv")
    is_fire = items["labels"].str.contains("fire").to_numpy()
    noise = np.random.default_rng(0).normal(size=(len(items), 2))
    items["warmth"] = 300 + 100 * is_fire + 5 * noise[:, 0]
    items["area"] = (0.01 * items["labels"].str.contains("sea") + 0.0005 * noise[:, 1]).astype(str)
    items.loc[[3, 50], "warmth"] = np.nan
    items.loc[7, "area"] = ""
    items.to_csv(raw / "items.csv", index=False)
    return Numbers(raw, tmp_path / "outputs")


@pytest.mark.slow
def test_numbers_are_learned_and_methods_compared(numbers):
    assert numbers.run("prepare_dataset")["labelled_items"] == 117
    assert numbers.run("train_recommender")["pre_check"].keys() == {"n_items"}
    for method, *more in (("image_only",), ("mtl_uniform", "alpha=0.1"), ("sequential",)):
        metrics = numbers.classify(method, "epochs=6", *more)
        assert set(metrics["val_R2"]) == {"area", "warmth"}
    numbers.run("predict_testset")
    fold = open_fold(numbers.outputs_dir / "tiny" / "prepared", 0)
    assert fold.task == REGRESSION
    assert not fold.targets(fold.split(TEST)).any()  # withheld
    (run,) = numbers.runs("mtl_uniform")
    found = Predictions.load(run / "predictions.npz")
    items = pd.read_csv(numbers.raw_dir / "items.csv").set_index("item_id").loc[found.item_id]
    np.testing.assert_array_equal(found.targets, items[["area", "warmth"]].astype(np.float32))
    assert abs(found.scores[:, 1].mean() - 325) < 50  # in the unit of the table
    result = numbers.run("evaluate_methods")
    r2 = {row["model"]: row["value"] for row in result["settings"][0]["measures"]["R2"]}
    assert set(r2) == {"image_only", "mtl_uniform", "sequential"}
    assert max(r2.values()) > 0.5
    table = (numbers.outputs_dir / "tiny" / "evaluation").glob("regression_*_rmse.md")
    assert "mtl_uniform" in next(table).read_text()
    with pytest.raises(ConfigError, match="Calibration is about classes"):
        numbers.run("use_model", f"images={numbers.raw_dir / 'images'}", f"run={run}")


def test_what_is_about_classes_refuses_numbers(numbers):
    numbers.run("prepare_dataset")
    for method in ("cf2label", "label_issues", "cf_distill", "mtl_loss"):
        with pytest.raises(ConfigError, match=f"{method} is about classes, but dataset.value_columns asks for numbers"):
            numbers.classify(method, "alpha=0.1")
    with pytest.raises(ConfigError, match="compares validation mAP"):
        numbers.classify("image_only", *TUNE)


def test_a_cell_that_is_no_number_is_named(numbers):
    path = numbers.raw_dir / "items.csv"
    table = pd.read_csv(path, dtype=str)
    table.loc[5, "area"] = "large"
    table.to_csv(path, index=False)
    with pytest.raises(DataError, match=r"column 'area' should hold numbers, but 1 row.* such as 'large'"):
        numbers.run("prepare_dataset")
