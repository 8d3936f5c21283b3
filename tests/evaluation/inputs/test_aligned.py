"""Items are joined by id, and runs on different test sets are refused."""

import numpy as np
import pytest

from src.artifacts import Predictions
from src.errors import ArtifactError
from src.evaluation.inputs.aligned import AlignedPredictions
from src.evaluation.inputs.runs_table import RunRecord
from tests.evaluation.synthetic import describe_run

ITEMS, LABELS = np.array(["b", "a", "c"]), np.array(["y", "x"])
SCORES = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], dtype=np.float32)
TARGETS = np.array([[1, 0], [0, 1], [1, 1]], dtype=np.uint8)


def _save(folder, name: str, **changes) -> RunRecord:
    arrays = {"item_id": ITEMS, "labels": LABELS, "scores": SCORES, "targets": TARGETS, "image_group": ITEMS}
    Predictions(**arrays | changes).save(folder / name / "predictions.npz")
    return RunRecord(**describe_run(name, "image_only"))


def test_rows_and_columns_are_joined_by_name(tmp_path):
    predictions = AlignedPredictions(tmp_path)
    first = predictions.load_scores(_save(tmp_path, "first"))
    rows, columns = [2, 0, 1], [1, 0]
    other = _save(
        tmp_path,
        "other",
        item_id=ITEMS[rows],
        image_group=ITEMS[rows],
        labels=LABELS[columns],
        scores=SCORES[np.ix_(rows, columns)],
        targets=TARGETS[np.ix_(rows, columns)],
    )
    np.testing.assert_array_equal(predictions.load_scores(other), first)
    np.testing.assert_array_equal(first, np.float32([[0.4, 0.3], [0.2, 0.1], [0.6, 0.5]]))
    np.testing.assert_array_equal(predictions.test_sets[0].targets, [[1, 0], [0, 1], [1, 1]])
    assert predictions.test_sets[0].item_id.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": TARGETS * np.uint8([[1], [0], [1]])}, "same targets .* first and other differ for 1 items, .* a;"),
        ({"item_id": np.array(["b", "a", "d"])}, "same item_id .* differ in 2, such as c;"),
        ({"labels": np.array(["y", "z"])}, "same labels .* differ in 2, such as x;"),
        ({"image_group": np.array(["a", "a", "c"])}, "same image_group .* differ for 1 items, such as b;"),
    ],
)
def test_runs_on_different_test_sets_are_refused(tmp_path, changes, message):
    predictions = AlignedPredictions(tmp_path)
    predictions.load_scores(_save(tmp_path, "first"))
    with pytest.raises(ArtifactError, match=message):
        predictions.load_scores(_save(tmp_path, "other", **changes))


def test_missing_predictions_name_the_command(tmp_path):
    record = RunRecord(**describe_run("gone", "image_only"))
    with pytest.raises(ArtifactError, match=r"does not exist though results.yaml lists .*main_predict_testset.py"):
        AlignedPredictions(tmp_path).load_scores(record)
