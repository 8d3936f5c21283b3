"""Predictions of different runs brought into one item order, and those of two methods paired."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.artifacts import PREDICTIONS_FILE, Predictions, RunRecord
from src.config.stages import EvaluateConfig
from src.errors import ArtifactError
from src.evaluation.inputs.runs_table import MethodRuns, Setting


@dataclass
class AlignedPredictions:
    """Reads runs of one dataset; every run's scores come in the order of its fold's test set, sorted by item and label.

    The first run read of a fold defines the test set; the others must have the same items, labels and targets.
    """

    dataset_dir: Path
    test_sets: dict[int, Predictions] = field(default_factory=dict)
    defined_by: dict[int, str] = field(default_factory=dict)

    def load_scores(self, record: RunRecord) -> np.ndarray:
        """Read one run's scores, (n_items, n_classes), aligned with ``test_sets[record.fold]``.

        Raises:
            ArtifactError: The file is missing, or its items, labels, targets or groups differ from those of other runs.
        """
        path = self.dataset_dir / record.run / PREDICTIONS_FILE
        again = f"run `python main_predict_testset.py dataset={self.dataset_dir.name} study={record.study} force=true`"
        if not path.is_file():
            raise ArtifactError(f"{path} does not exist though results.yaml lists its run; {again}.")
        here = _sorted(Predictions.load(path))
        reference = self.test_sets.setdefault(record.fold, here)
        defined_by = self.defined_by.setdefault(record.fold, record.run)
        for name in ("item_id", "labels", "targets", "image_group"):
            if not np.array_equal(getattr(reference, name), getattr(here, name)):
                raise ArtifactError(
                    f"Expected the same {name} for all runs on fold {record.fold}, but {defined_by} and "
                    f"{record.run} differ{_difference(name, reference, here)}; they come from different versions of "
                    f"the prepared data: train the stale one again, then {again}."
                )
        return here.scores


class StudyRuns(NamedTuple):
    """The predicted runs of one study on one dataset: the rows of each setting's table; ``folder`` is written to."""

    cfg: EvaluateConfig
    dataset_dir: Path
    folder: Path
    grouped: dict[Setting, list[MethodRuns]]
    predictions: AlignedPredictions


@dataclass(frozen=True)
class PairedFold:
    """Aligned predictions of a baseline and a candidate on one fold's test set, one array for each seed.

    Attributes:
        targets: Multi-hot labels, (n_items, n_classes).
        image_group: (n_items,) str; items that share a value show the same image and are never treated as independent.
        scores_baseline: For each seed (n_items, n_classes), rows aligned with ``targets``.
        scores_candidate: The same seeds in the same order.
    """

    targets: np.ndarray
    image_group: np.ndarray
    scores_baseline: Sequence[np.ndarray]
    scores_candidate: Sequence[np.ndarray]


def pair_folds(
    reference: MethodRuns,
    row: MethodRuns,
    pairs: Iterable[tuple[int, int]],
    predictions: AlignedPredictions,
    cut: Callable[[Predictions], tuple[np.ndarray, np.ndarray]] | None = None,
) -> list[PairedFold]:
    """Read the runs of a baseline and a candidate, both of which must have ``pairs`` (fold, seed); folds ascending.

    ``cut`` maps a fold's test set to the row and column indices that are kept; by default all.
    """
    folds = []
    for fold, seeds in seeds_by_fold(pairs).items():
        runs = [[method.runs[fold, seed] for seed in seeds] for method in (reference, row)]
        scores = [[predictions.load_scores(record) for record in side] for side in runs]
        test = predictions.test_sets[fold]
        targets, group = test.targets, test.image_group
        if cut is not None:
            rows, columns = cut(test)
            where = np.ix_(rows, columns)
            targets, group, scores = targets[where], group[rows], [[array[where] for array in side] for side in scores]
        folds.append(PairedFold(targets, group, *scores))
    return folds


def seeds_by_fold(pairs: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    """The seeds of each fold, both ascending."""
    folds = defaultdict(list)
    for fold, seed in sorted(pairs):
        folds[fold].append(seed)
    return dict(folds)


def _sorted(given: Predictions) -> Predictions:
    rows, columns = np.argsort(given.item_id), np.argsort(given.labels)
    where = np.ix_(rows, columns)
    return Predictions(
        given.item_id[rows], given.labels[columns], given.scores[where], given.targets[where], given.image_group[rows]
    )


def _difference(name: str, a: Predictions, b: Predictions) -> str:
    """Say where two test sets differ, as the end of a phrase."""
    if name in ("item_id", "labels"):
        only = np.setxor1d(getattr(a, name), getattr(b, name))
        return f" in {len(only)}, such as {only[0]}" if len(only) else ""
    differs = (getattr(a, name) != getattr(b, name)).reshape(len(a.item_id), -1).any(axis=1)
    return f" for {differs.sum()} items, such as {a.item_id[differs][0]}"
