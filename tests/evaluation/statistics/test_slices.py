"""Slices: cut where they say, measured like everything else."""

from dataclasses import replace

import numpy as np
import pytest

from src.artifacts import PREDICTIONS_FILE, Predictions
from src.config.datasets import DatasetConfig
from src.config.stages import EvaluateConfig
from src.evaluation.inputs.aligned import AlignedPredictions
from src.evaluation.inputs.runs_table import group_by_setting, load_run_records
from src.evaluation.statistics.metrics import mean_average_precision
from src.evaluation.statistics.slices import CLASSES, ITEMS, Counts, compare_slices
from tests.evaluation.synthetic import write_outputs

CFG = EvaluateConfig(dataset=DatasetConfig(name="toys"), n_resamples=50)
LABELS = {f"label_{n}": 10 * (n + 1) for n in range(6)}  # label_0 and label_1 are the rare ones
USERS = {f"item{fold}_{n}": 60 - n for fold in (0, 1) for n in range(60)}  # the last items have the fewest users


@pytest.fixture
def rows_and_predictions(tmp_path):
    write_outputs(tmp_path / "toys", {"image_only": 0.0, "mtl_loss": 1.5})
    (rows,) = group_by_setting(load_run_records(tmp_path / "toys", "main"), "image_only").values()
    return rows, AlignedPredictions(tmp_path / "toys")


def test_each_slice_is_cut_and_measured_as_by_hand(rows_and_predictions):
    rows, predictions = rows_and_predictions
    result = compare_slices(rows, predictions, Counts(LABELS, USERS), CFG)
    assert [(row["slice"], row["method"]) for row in result] == [
        (name, row.name) for name in (*CLASSES, *ITEMS) for row in rows
    ]
    found = {(row["slice"], row["method"]): row for row in result}

    def by_hand(method, cut):
        runs = next(row.runs for row in rows if row.name == method)
        values = []
        for (fold, _), record in runs.items():
            scores, test = predictions.load_scores(record), predictions.test_sets[fold]
            values.append(mean_average_precision(cut(test, test.targets), cut(test, scores)))
        return np.mean(values)

    def rare(test, array):
        return array[:, np.isin(test.labels, ["label_0", "label_1"])]

    def unpopular(test, array):
        return array[[int(item.split("_")[1]) >= 40 for item in test.item_id]]

    for name, cut in (("rare classes", rare), ("items with few users", unpopular)):
        old, new = by_hand("image_only", cut), by_hand("mtl_loss", cut)
        row = found[name, "mtl_loss"]
        assert row["mAP"] == pytest.approx(new)
        assert row["difference"] == pytest.approx(new - old)
        assert row["difference_percent"] == pytest.approx(100 * (new - old) / old)
        assert row["low"] < row["difference"] < row["high"]
        assert found[name, "image_only"]["difference"] is None
    assert (found["rare classes", "mtl_loss"]["n_classes"], found["rare classes", "mtl_loss"]["n_items"]) == (2, 120)
    assert found["items with few users", "mtl_loss"]["n_items"] == 40


def test_without_interactions_items_are_not_sliced_and_without_baseline_nothing(rows_and_predictions):
    rows, predictions = rows_and_predictions
    names = {row["slice"] for row in compare_slices(rows, predictions, Counts(LABELS, {}), CFG)}
    assert names == set(CLASSES)
    assert compare_slices(rows[1:], predictions, Counts(LABELS, {}), CFG) == []


def test_a_fold_without_a_positive_of_the_slice_is_left_out(rows_and_predictions):
    rows, predictions = rows_and_predictions
    for record in (record for row in rows for record in row.runs.values() if record.fold == 0):
        path = predictions.dataset_dir / record.run / PREDICTIONS_FILE
        saved = Predictions.load(path)
        replace(saved, targets=saved.targets * ~np.isin(saved.labels, ["label_0", "label_1"])).save(path)
    result = compare_slices(rows, predictions, Counts(LABELS, {}), CFG)
    assert [row["n_items"] for row in result if row["slice"] == "rare classes"] == [60, 60]
