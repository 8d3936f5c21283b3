"""Two methods' predictions for the test images of one fold: what both resampling procedures compare."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from src.evaluation.inputs.aligned import AlignedPredictions, TestSet
from src.evaluation.inputs.runs_table import MethodRuns


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

    def __post_init__(self) -> None:
        """Check that both methods have the same seeds and that groups match the items."""
        if len(self.scores_baseline) != len(self.scores_candidate) or not len(self.scores_baseline):
            raise ValueError(
                "Expected the same seeds, at least one, for both methods, but got "
                f"{len(self.scores_baseline)} and {len(self.scores_candidate)} runs; compare only the pairs both have."
            )
        if self.image_group.shape != (len(self.targets),):
            raise ValueError(
                f"Expected one image group for each of {len(self.targets)} items, but got shape "
                f"{self.image_group.shape}; give items without duplicates a group of their own."
            )


def pair_folds(
    reference: MethodRuns,
    row: MethodRuns,
    pairs: Iterable[tuple[int, int]],
    predictions: AlignedPredictions,
    cut: Callable[[TestSet], tuple[np.ndarray, np.ndarray]] | None = None,
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
