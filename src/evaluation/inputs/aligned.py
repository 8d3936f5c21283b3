"""Predictions of different runs brought into one item order."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from src.artifacts import PREDICTIONS_FILE, Predictions, RunRecord
from src.errors import ArtifactError


@dataclass(frozen=True)
class TestSet:
    """Items of one fold's test set in sorted order: what all runs on the fold must agree on."""

    __test__ = False  # keeps pytest from collecting the class

    item_id: np.ndarray
    labels: np.ndarray
    targets: np.ndarray
    image_group: np.ndarray
    defined_by: str


@dataclass
class AlignedPredictions:
    """Reads runs of one dataset; every run's scores come in the order of its fold's test set.

    The first run read of a fold defines the test set; the others must have the same items, labels and targets.
    """

    dataset_dir: Path
    test_sets: dict[int, TestSet] = field(default_factory=dict)

    def define_test_sets(self, records: Iterable[RunRecord]) -> None:
        """Let the first of these runs on each fold define its test set, in whatever order threads read them later."""
        for record in records:
            if record.fold not in self.test_sets:
                self.load_scores(record)

    def load_scores(self, record: RunRecord) -> np.ndarray:
        """Read one run's scores, (n_items, n_classes), aligned with ``test_sets[record.fold]``.

        Raises:
            ArtifactError: The file is missing, or its items, labels, targets or groups differ from those of other runs.
        """
        path = self.dataset_dir / record.run / PREDICTIONS_FILE
        again = f"run `python main_predict_testset.py dataset={self.dataset_dir.name} study={record.study} force=true`"
        if not path.is_file():
            raise ArtifactError(f"{path} does not exist though results.yaml lists its run; {again}.")
        predictions = Predictions.load(path)
        item_id, rows = np.unique(predictions.item_id, return_index=True)
        labels, columns = np.unique(predictions.labels, return_index=True)
        where = np.ix_(rows, columns)
        here = TestSet(item_id, labels, predictions.targets[where], predictions.image_group[rows], record.run)
        reference = self.test_sets.setdefault(record.fold, here)
        for name in ("item_id", "labels", "targets", "image_group"):
            if not np.array_equal(getattr(reference, name), getattr(here, name)):
                raise ArtifactError(
                    f"Expected the same {name} for all runs on fold {record.fold}, but {reference.defined_by} and "
                    f"{record.run} differ{_difference(name, reference, here)}; they come from different versions of "
                    f"the prepared data: train the stale one again, then {again}."
                )
        return predictions.scores[where]


def _difference(name: str, a: TestSet, b: TestSet) -> str:
    """Say where two test sets differ, as the end of a phrase."""
    if name in ("item_id", "labels"):
        only = np.setxor1d(getattr(a, name), getattr(b, name))
        return f" in {len(only)}, such as {only[0]}" if len(only) else ""
    differs = (getattr(a, name) != getattr(b, name)).reshape(len(a.item_id), -1).any(axis=1)
    return f" for {differs.sum()} items, such as {a.item_id[differs][0]}"
