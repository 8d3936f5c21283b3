"""Where a method gains: on rare or frequent classes, on items that few or many users know."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.artifacts import ITEM_ID, MANIFEST_FILE, PREPARED
from src.data.folds import load_interactions, load_items
from src.evaluation.aligned import AlignedPredictions, TestSet
from src.evaluation.bootstrap import Estimate, paired_bootstrap
from src.evaluation.comparison import Resampling
from src.evaluation.metrics import mean_average_precision
from src.evaluation.paired_fold import PairedFold
from src.evaluation.runs_table import MethodRuns, RunRecord
from src.evaluation.tables import Column, Row, number, span

CLASSES = ("rare classes", "middle classes", "frequent classes")
ITEMS = ("items with few users", "items with some users", "items with many users")

NOTE = (
    "Slices: thirds of the classes by number of items, and of each fold's test items by number of users; the interval "
    "is the bootstrap's for this slice alone, not adjusted for looking at several."
)


@dataclass(frozen=True)
class Counts:
    """What slices are cut by: the number of items of each label, and of users of each item."""

    items_of_label: Mapping[str, int]
    users_of_item: Mapping[str, int]


def load_counts(dataset_dir: Path) -> Counts | None:
    """Count labels and users of a prepared dataset; None if it is not there."""
    prepared = dataset_dir / PREPARED
    if not (prepared / MANIFEST_FILE).is_file():
        return None
    labels = load_items(prepared, 0)["labels"].dropna().explode().value_counts()
    users = load_interactions(prepared)[ITEM_ID].value_counts()
    return Counts(labels.to_dict(), users.to_dict())


def compare_slices(
    rows: Sequence[MethodRuns], baseline: str, predictions: AlignedPredictions, counts: Counts, how: Resampling
) -> list[Row]:
    """Each method's mAP on each slice, and its difference to the baseline on the folds and seeds both have.

    Args:
        rows: The methods of a setting.
        baseline: Method that the others are compared with.
        predictions: Where runs are read from.
        counts: What slices are cut by; without interactions items are not sliced.
        how: Amount and seed of resampling; the same draws for all methods of a slice.
    """
    reference = next((row for row in rows if row.method == baseline), None)
    if reference is None:
        return []
    names = [*CLASSES, *(ITEMS if counts.users_of_item else ())]
    jobs = [(name, row) for name in names for row in rows]
    for record in (record for row in rows for record in row.runs.values()):
        predictions.load_scores(record)  # which run defines a fold's test set must not depend on threads

    def examine(job: tuple[str, MethodRuns]) -> Row | None:
        name, row = job
        pairs = sorted(row.runs.keys() & reference.runs.keys())
        folds = [
            paired
            for fold in dict.fromkeys(fold for fold, _ in pairs)
            for paired in [_cut(name, [p for p in pairs if p[0] == fold], row, reference, predictions, counts)]
            if paired.targets.any()
        ]
        if not folds:
            return None
        difference = None
        if row is not reference:
            rng = np.random.default_rng((how.seed, 3, names.index(name)))
            difference = paired_bootstrap(
                folds, rng=rng, n_resamples=how.n_resamples, confidence_level=how.confidence_level
            )
        return _row(name, row.name, folds, difference)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [row for row in pool.map(examine, jobs) if row is not None]


def slice_columns(level: float) -> list[Column]:
    """The printed columns of the slices."""
    return [
        Column("slice", lambda row: str(row["slice"]), numeric=False),
        Column("method", lambda row: str(row["method"]), numeric=False),
        Column("mAP", lambda row: number(row["mAP"])),
        Column("difference", lambda row: number(row["difference"], signed=True)),
        Column("%", lambda row: number(row["difference_percent"], digits=1, signed=True)),
        Column(f"its {100 * level:g} % interval", lambda row: span(row["low"], row["high"], signed=True)),
        Column("classes", lambda row: str(row["n_classes"])),
        Column("items", lambda row: str(row["n_items"])),
    ]


def _cut(
    name: str,
    pairs: Sequence[tuple[int, int]],
    row: MethodRuns,
    reference: MethodRuns,
    predictions: AlignedPredictions,
    counts: Counts,
) -> PairedFold:
    test = predictions.test_sets[pairs[0][0]]
    where = _class_slice(name, test, counts) if name in CLASSES else _item_slice(name, test, counts)

    def scores(runs: Mapping[tuple[int, int], RunRecord]) -> list[np.ndarray]:
        return [predictions.load_scores(runs[pair])[where] for pair in pairs]

    return PairedFold(test.targets[where], test.image_group[where[0][:, 0]], scores(reference.runs), scores(row.runs))


def _class_slice(name: str, test: TestSet, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    by_size = sorted(range(len(test.labels)), key=lambda n: (counts.items_of_label.get(str(test.labels[n]), 0), n))
    columns = np.sort(np.array_split(by_size, len(CLASSES))[CLASSES.index(name)])
    return np.ix_(np.arange(len(test.item_id)), columns)  # type: ignore[return-value]


def _item_slice(name: str, test: TestSet, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    by_users = sorted(range(len(test.item_id)), key=lambda n: (counts.users_of_item.get(str(test.item_id[n]), 0), n))
    rows = np.sort(np.array_split(by_users, len(ITEMS))[ITEMS.index(name)])
    return np.ix_(rows, np.arange(len(test.labels)))  # type: ignore[return-value]


def _row(name: str, method: str, folds: Sequence[PairedFold], difference: Estimate | None) -> Row:
    def mean(scores_of: str) -> float:
        return float(
            np.mean(
                [
                    np.mean([mean_average_precision(fold.targets, scores) for scores in getattr(fold, scores_of)])
                    for fold in folds
                ]
            )
        )

    return {
        "slice": name,
        "method": method,
        "mAP": mean("scores_candidate"),
        "difference": difference.value if difference else None,
        "difference_percent": 100 * difference.value / mean("scores_baseline") if difference else None,
        "low": difference.low if difference else None,
        "high": difference.high if difference else None,
        "n_classes": folds[0].targets.shape[1],
        "n_items": sum(len(fold.targets) for fold in folds),
    }
