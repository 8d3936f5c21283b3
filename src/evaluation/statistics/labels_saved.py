"""Labels saved: the label ratio at which the baseline reaches a method's mAP."""

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from src.evaluation.statistics.bootstrap import LEVEL
from src.evaluation.statistics.comparison import MethodResult
from src.evaluation.tables.format import Column, number, span

logger = logging.getLogger(__name__)

NOTE = (
    "Equals: label ratio at which {baseline} has the same mAP, on its curve over this table's label ratios, linear in "
    "their logarithm; times: that ratio over the method's. A value on the first or last ratio may lie beyond it. "
    "Interval: bootstrap over image groups, the same draws for the method and the curve."
)

COLUMNS = [
    Column("method", lambda row: str(row["method"]), numeric=False),
    Column("label ratio", lambda row: f"{row['label_ratio']:g}"),
    Column("equals", lambda row: number(row["equals"])),
    Column("95 % interval", lambda row: span(row["equals_low"], row["equals_high"]), below=True),
    Column("times", lambda row: number(row["times"], digits=1)),
]


class LabelsSaved(NamedTuple):
    """What a method's labels are worth, in labels of the baseline.

    Attributes:
        method: Name of the method's row.
        label_ratio: Share of labels that the method has.
        equals: Label ratio at which the baseline has the same mAP, with its interval from ``equals_low`` to
            ``equals_high``. The measured label ratios bound all three: an end that lies on a bound may lie beyond it.
        times: ``equals`` over ``label_ratio``.
    """

    method: str
    label_ratio: float
    equals: float
    equals_low: float
    equals_high: float
    times: float


def labels_saved(results: Mapping[float, Sequence[MethodResult]], baseline: str) -> list[LabelsSaved]:
    """For each label ratio and method, find the label ratio at which the baseline reaches its mAP.

    The baseline's curve is its mAP at the measured label ratios, made monotone, and linear in the logarithm of the
    ratio between them. Each bootstrap replicate has a curve of its own; it shares its draws of images with the method.

    ``results`` has the rows of each label ratio's table. Each row but the baseline's that has the folds and seeds of
    the baseline's runs has an entry; with fewer than two label ratios there is none.
    """
    reference = {ratio: row for ratio, rows in results.items() for row in rows if row.name == baseline}
    ratios = sorted(reference)
    if len(ratios) < 2:
        return []
    if len({row.runs for row in reference.values()}) > 1:
        logger.warning(
            "Labels saved are not computed: %s has other folds or seeds at some label ratios than at others.", baseline
        )
        return []
    curves = np.maximum.accumulate([reference[ratio].resampled for ratio in ratios], axis=0).T
    tail = (1 - LEVEL) / 2
    saved = []
    for ratio in ratios:
        for row in results[ratio]:
            if row.name == baseline or row.runs != reference[ratio].runs:
                continue
            reached = np.array([_reached(*pair, np.log(ratios)) for pair in zip(row.resampled, curves, strict=True)])
            low, high = np.nanquantile(reached[1:], [tail, 1 - tail])
            equals, low, high = np.exp([reached[0], low, high]).tolist()
            saved.append(LabelsSaved(row.name, ratio, equals, low, high, equals / ratio))
    return saved


def _reached(value: float, curve: np.ndarray, place: np.ndarray) -> float:
    """Place at which a curve that does not fall reaches a value, within its ends; NaN where either is undefined."""
    if not np.isfinite(value) or not np.isfinite(curve).all():
        return float("nan")
    rises = np.concatenate([[True], np.diff(curve) > 0])  # of equal values the first place counts
    return float(np.interp(value, curve[rises], place[rises]))
