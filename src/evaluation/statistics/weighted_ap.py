"""Mean average precision under many weightings of the same items, without sorting again for each.

A bootstrap replicate gives each image an integer weight, how often it was drawn; a permutation of two methods gives
each of the 2 n ranked entries weight 0 or 1. Either way the order of the items within a class never changes, so it is
computed once. What a replicate then needs is the total weight between consecutive positives of a class: one product
of a sparse 0/1 matrix with the weights, O(n_items x n_classes).
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from src.evaluation.statistics.metrics import check_predictions, tie_ends

_REPLICATES_AT_ONCE = 64  # the weights of 4,000 items in int16 then take 0.5 MB and stay in a core's cache
_ENTRIES_PER_BLOCK = 2_000_000  # item-class pairs sorted at once


@dataclass(frozen=True)
class _ClassBlock:
    """Some classes, cut into segments; a segment ends with a group of tied scores that holds a positive item.

    Attributes:
        items: 0/1, (n_segments, n_items): the items of each segment; those after a class's last positive are in none.
        positives: Same shape: the positive items of each segment.
        starts: First segment of each class that has a positive.
    """

    items: sparse.csr_array
    positives: sparse.csr_array
    starts: np.ndarray


class PresortedScores:
    """Predictions whose items are sorted within each class once, to be weighted in many ways afterwards."""

    def __init__(self, targets: np.ndarray, scores: np.ndarray) -> None:
        """Sort the items of each class.

        Args:
            targets: Multi-hot labels, (n_items, n_classes), 0 or 1.
            scores: Same shape, finite; only their order within a class matters.
        """
        targets, scores = check_predictions(targets, scores)
        self.n_items, n_classes = targets.shape
        width = max(1, _ENTRIES_PER_BLOCK // self.n_items)
        parts = [slice(start, start + width) for start in range(0, n_classes, width)]
        self._blocks = [_presort(targets[:, part], scores[:, part]) for part in parts if targets[:, part].any()]

    def mean_average_precision(self, weights: np.ndarray) -> np.ndarray:
        """Compute the mean over the classes whose positives have weight, under every weighting.

        Args:
            weights: Non-negative integers, (n_replicates, n_items); weight w means that the item occurs w times.

        Returns:
            (n_replicates,) float64; NaN where no positive of any class has weight.
        """
        self._check(weights)
        sums, counts = np.zeros(len(weights)), np.zeros(len(weights))
        for start in range(0, len(weights), _REPLICATES_AT_ONCE):
            rows = slice(start, min(start + _REPLICATES_AT_ONCE, len(weights)))
            chunk = weights[rows]
            # The narrowest type that holds a class's whole weight: twice as many sums in one instruction.
            dtype = np.int16 if chunk.sum(axis=1, dtype=np.int64).max() <= np.iinfo(np.int16).max else np.int64
            by_item = np.ascontiguousarray(chunk.T, dtype=dtype)
            for block in self._blocks:
                values = _weighted_average_precision(block, by_item)
                defined = ~np.isnan(values)
                sums[rows] += np.where(defined, values, 0.0).sum(axis=0)
                counts[rows] += defined.sum(axis=0)
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

    def _check(self, weights: np.ndarray) -> None:
        if weights.ndim != 2 or weights.shape[1] != self.n_items:
            raise ValueError(
                f"Expected weights of shape (n_replicates, {self.n_items}), but got {weights.shape}; "
                "give one weight for each item that was sorted."
            )
        if weights.dtype.kind not in "biu" or (weights.dtype.kind == "i" and weights.size and weights.min() < 0):
            raise ValueError(
                f"Expected non-negative integer weights, but got {weights.dtype} with minimum {weights.min()}; "
                "a weight says how often an item occurs."
            )


def _presort(targets: np.ndarray, scores: np.ndarray) -> _ClassBlock:
    """Cut each class's items, in descending order of score, into segments (see ``_ClassBlock``)."""
    n_items = len(targets)
    order = np.argsort(-scores.T, axis=1, kind="stable")
    positive = np.take_along_axis(targets.T, order, axis=1)
    ends = tie_ends(np.take_along_axis(scores.T, order, axis=1))
    class_idx, position = np.nonzero(positive)
    last = np.zeros(order.shape, dtype=bool)  # the last item of each segment
    last[class_idx, ends[class_idx, position]] = True
    segments_per_class = last.sum(axis=1)
    n_segments = int(segments_per_class.sum())
    after_last = ~np.logical_or.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    segment = np.cumsum(last.ravel()).reshape(last.shape) - last

    def membership(chosen: np.ndarray) -> sparse.csr_array:
        """Build the 0/1 matrix of the chosen entries; they come sorted by segment, which is what CSR stores."""
        sizes = np.bincount(segment[chosen], minlength=n_segments)
        indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        columns = order[chosen].astype(np.int32)
        return sparse.csr_array((np.ones(len(columns), np.int16), columns, indptr), shape=(n_segments, n_items))

    starts = (np.cumsum(segments_per_class) - segments_per_class)[segments_per_class > 0]
    return _ClassBlock(membership(~after_last), membership(positive), starts)


def _weighted_average_precision(block: _ClassBlock, weights: np.ndarray) -> np.ndarray:
    """Evaluate one block under weights (n_items, n_replicates); returns (n_classes_with_positive, n_replicates)."""
    retrieved = block.items @ weights
    positives = block.positives @ weights
    values = np.empty((len(block.starts), weights.shape[1]))
    stops = np.append(block.starts[1:], len(positives))
    for row, (start, stop) in enumerate(zip(block.starts, stops, strict=True)):  # one class at a time stays in cache
        here = positives[start:stop]
        found = np.add.accumulate(here, axis=0)
        precision = found / np.maximum(np.add.accumulate(retrieved[start:stop], axis=0), 1)
        total = found[-1]
        sums = np.einsum("ij,ij->j", here.astype(np.float64), precision)
        values[row] = np.where(total > 0, sums / np.maximum(total, 1), np.nan)
    return values
