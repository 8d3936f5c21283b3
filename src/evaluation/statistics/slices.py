"""Where a method gains: on rare or frequent classes, on items that few or many users know."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.artifacts import ITEM_IDX, PREPARED, Predictions
from src.config.stages import EvaluateConfig
from src.data.folds import load_interactions, load_items
from src.evaluation.inputs.aligned import AlignedPredictions, PairedFold, pair_folds
from src.evaluation.inputs.runs_table import MethodRuns
from src.evaluation.statistics.bootstrap import Estimate, paired_bootstrap
from src.evaluation.statistics.metrics import mean_average_precision
from src.evaluation.tables.format import Column, Row, number, span
from src.machine import n_cores

CLASSES = ("rare classes", "middle classes", "frequent classes")
ITEMS = ("items with few users", "items with some users", "items with many users")

NOTE = (
    "Slices: thirds of the classes by number of items, and of each fold's test items by number of users; the interval "
    "is the bootstrap's for this slice alone, not adjusted for looking at several."
)

COLUMNS = [
    Column("slice", lambda row: str(row["slice"]), numeric=False),
    Column("method", lambda row: str(row["method"]), numeric=False),
    Column("mAP", lambda row: number(row["mAP"])),
    Column("difference", lambda row: number(row["difference"], signed=True)),
    Column("%", lambda row: number(row["difference_percent"], digits=1, signed=True), below=True),
    Column("its 95 % interval", lambda row: span(row["low"], row["high"], signed=True), below=True),
    Column("classes", lambda row: str(row["n_classes"])),
    Column("items", lambda row: str(row["n_items"])),
]


class Counts(NamedTuple):
    """What slices are cut by: the number of items of each label, and of users of each item."""

    items_of_label: Mapping[str, int]
    users_of_item: Mapping[str, int]


def load_counts(dataset_dir: Path) -> Counts:
    """Count labels and users of a prepared dataset."""
    prepared = dataset_dir / PREPARED
    items = load_items(prepared, 0)
    labels = items["labels"].dropna().explode().value_counts()
    users = load_interactions(prepared)[ITEM_IDX].value_counts()
    return Counts(labels.to_dict(), dict(zip(items["item_id"].to_numpy()[users.index], users, strict=True)))


def compare_slices(
    rows: Sequence[MethodRuns], predictions: AlignedPredictions, counts: Counts, cfg: EvaluateConfig
) -> list[Row]:
    """Each method's mAP on each slice, and its difference to the baseline on the folds and seeds both have.

    ``rows`` are the methods of a setting, the baseline first; without it there are no slices. Without interactions
    items are not sliced. All methods of a slice share the draws.
    """
    reference = rows[0]
    if reference.method != cfg.baseline:
        return []
    names = [*CLASSES, *(ITEMS if counts.users_of_item else ())]

    def examine(job: tuple[str, MethodRuns]) -> Row | None:
        name, row = job
        pairs = row.runs.keys() & reference.runs.keys()
        cut_folds = pair_folds(reference, row, pairs, predictions, lambda test: _cut(name, test, counts))
        folds = [fold for fold in cut_folds if fold.targets.any()]
        if not folds:
            return None
        difference = None
        if row is not reference:
            rng = np.random.default_rng((cfg.seed, 3, names.index(name)))
            difference = paired_bootstrap(folds, rng=rng, n_resamples=cfg.n_resamples)
        return _row(name, row.name, folds, difference)

    with ThreadPoolExecutor(n_cores()) as pool:
        found = pool.map(examine, [(name, row) for name in names for row in rows])
        return [row for row in found if row is not None]


def _cut(name: str, test: Predictions, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    """The rows and columns of a slice."""
    rows, columns = np.arange(len(test.item_id)), np.arange(len(test.labels))
    if name in CLASSES:
        return rows, _third(test.labels, counts.items_of_label, CLASSES.index(name))
    return _third(test.item_id, counts.users_of_item, ITEMS.index(name)), columns


def _third(ids: np.ndarray, counts: Mapping[str, int], place: int) -> np.ndarray:
    """Indices of the ids in one of three equal parts by count, ascending."""
    order = np.argsort([counts.get(name, 0) for name in ids.tolist()], kind="stable")
    return np.sort(np.array_split(order, 3)[place])


def _row(name: str, method: str, folds: Sequence[PairedFold], difference: Estimate | None) -> Row:
    def mean(side: str) -> float:
        values = [[mean_average_precision(fold.targets, scores) for scores in getattr(fold, side)] for fold in folds]
        return float(np.mean([np.mean(seeds) for seeds in values]))

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
