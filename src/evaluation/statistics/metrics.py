"""Measures of one set of predictions: average precision and its means, recall at k, top-1 accuracy.

All take multi-hot targets, (n_items, n_classes), 0 or 1, and scores of the same shape, finite, higher is likelier, and
raise ``ValueError`` for others (``check_predictions``).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np


def average_precision(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Compute the average precision of every class.

    Items with equal scores share one threshold: all of them count as retrieved together, so the value depends on no
    row order. It equals ``sklearn.metrics.average_precision_score``. Only the order of scores within a class matters.

    Returns:
        (n_classes,) float64 in 0 to 1; NaN for a class without a positive item.
    """
    targets, scores = check_predictions(targets, scores)
    order = np.argsort(-scores.T, axis=1)
    sorted_targets = np.take_along_axis(targets.T, order, axis=1)
    sorted_scores = np.take_along_axis(scores.T, order, axis=1)
    # Few entries are positive, so everything after the two cumulative arrays is done for those alone.
    class_idx, position = np.nonzero(sorted_targets)
    end = tie_ends(sorted_scores)[class_idx, position]
    retrieved_positives = np.cumsum(sorted_targets, axis=1, dtype=np.int64)[class_idx, end]
    n_positives = targets.sum(axis=0, dtype=np.int64)
    sums = np.bincount(class_idx, weights=retrieved_positives / (end + 1), minlength=targets.shape[1])
    return np.where(n_positives > 0, sums / np.maximum(n_positives, 1), np.nan)


def mean_average_precision(targets: np.ndarray, scores: np.ndarray) -> float:
    """Compute the mean over classes of the average precision, leaving out classes without a positive item.

    NaN when no class has a positive item.
    """
    per_class = average_precision(targets, scores)
    defined = ~np.isnan(per_class)
    return float(per_class[defined].mean()) if defined.any() else float("nan")


def micro_average_precision(targets: np.ndarray, scores: np.ndarray) -> float:
    """Compute one average precision over all (item, class) pairs; here scores of different classes are compared."""
    targets, scores = check_predictions(targets, scores)
    return float(average_precision(targets.reshape(-1, 1), scores.reshape(-1, 1))[0])


def recall_at_k(targets: np.ndarray, scores: np.ndarray, k: int) -> float:
    """Compute the share of an item's labels among its k best-scored classes, averaged over items with a label.

    A label whose score ties with others across the k-th place counts with the share of the tied classes that fit, so
    that a constant predictor gets k / n_classes and class order does not matter. k is 1 to n_classes. NaN when no item
    has a label.
    """
    targets, scores = check_predictions(targets, scores)
    n_classes = targets.shape[1]
    if not 1 <= k <= n_classes:
        raise ValueError(f"Expected k between 1 and the number of classes, {n_classes}, but got {k}; lower k.")
    labelled = targets.any(axis=1)
    if not labelled.any():
        return float("nan")
    targets, scores = targets[labelled], scores[labelled]
    kth = np.partition(scores, n_classes - k, axis=1)[:, n_classes - k, None]
    above, tied = scores > kth, scores == kth
    share = (k - above.sum(axis=1)) / tied.sum(axis=1)
    retrieved = (targets & above).sum(axis=1) + share * (targets & tied).sum(axis=1)
    return float((retrieved / targets.sum(axis=1)).mean())


class Measure(NamedTuple):
    """A measure that is reported beside mAP, with its column's header, and whether targets allow it."""

    header: str
    compute: Callable[[np.ndarray, np.ndarray], float]
    is_defined: Callable[[np.ndarray], bool] = lambda targets: True


MEASURES = {
    "micro_average_precision": Measure("micro AP", micro_average_precision),
    "recall_at_1": Measure("recall@1", partial(recall_at_k, k=1), lambda targets: targets.shape[1] > 1),
    "recall_at_5": Measure("recall@5", partial(recall_at_k, k=5), lambda targets: targets.shape[1] > 5),
    "top1_accuracy": Measure("top-1", partial(recall_at_k, k=1), lambda targets: (targets.sum(axis=1) == 1).all()),
}
"""By name in files; a new measure is a new entry. Top-1 accuracy is defined where every item has one label."""


def tie_ends(sorted_scores: np.ndarray) -> np.ndarray:
    """For each position of rows in descending order, (n_classes, n_items), the last one that has the same score."""
    n_items = sorted_scores.shape[1]
    ends = np.broadcast_to(np.arange(n_items), sorted_scores.shape)
    continues = sorted_scores[:, 1:] == sorted_scores[:, :-1]
    if not continues.any():
        return ends
    ends = ends.copy()
    ends[:, :-1][continues] = n_items - 1
    return np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]


def check_predictions(targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Targets as bool and scores as an array, both (n_items, n_classes).

    Raises:
        ValueError: Shapes differ, a score is not finite, or a target is neither 0 nor 1.
    """
    targets, scores = np.asarray(targets), np.asarray(scores)
    if targets.ndim != 2 or targets.shape != scores.shape:
        raise ValueError(
            "Expected targets and scores of one shape (n_items, n_classes), but got "
            f"{targets.shape} and {scores.shape}; align both by item_id and label first."
        )
    if not targets.size:
        raise ValueError(f"Expected at least one item and one class, but got shape {targets.shape}; check the split.")
    if not np.isfinite(scores).all():
        n_bad = int((~np.isfinite(scores)).sum())
        raise ValueError(
            f"Expected finite scores, but got {n_bad} NaN or infinite of {scores.size}; "
            "the model has diverged: look at its training loss."
        )
    if targets.dtype != bool:
        binary = (targets == 0) | (targets == 1)
        if not binary.all():
            raise ValueError(
                f"Expected targets 0 or 1, but got {targets[~binary][0]!r}; drop items with unknown labels first."
            )
        targets = targets == 1
    return targets, scores
