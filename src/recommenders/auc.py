"""AUC of a recommender on held-out interactions, as Cornac defines it, without its loop over all pairs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from src.errors import DataError
from src.machine import keep_freed_memory, map_in_order
from src.recommenders.interactions import count_users, rows_of

UserScores = Callable[[np.ndarray], np.ndarray]
"""Maps row indices of users, [b], to their scores of all items, [b, n_items] float32, higher is better.

The array is a new one, which its receiver may overwrite.
"""

SORT_ABOVE = 8
"""Users with more held-out items than this have their scores sorted once instead of compared item by item."""


@dataclass(frozen=True)
class RecommenderAUC:
    """Mean over ``n_users`` of the share of (held-out item, negative item) pairs in the right order.

    Attributes:
        strict: A tie counts as a loss, as in Cornac.
        half_credit: A tie counts one half.
        n_users_skipped: Users with held-out interactions who cannot be scored: they have no training interaction, no
            held-out item that occurs in training, or no negative item.
    """

    strict: float
    half_credit: float
    n_users: int
    n_users_skipped: int


def recommender_auc(
    user_scores: UserScores, train: sparse.csr_matrix, test: sparse.csr_matrix, *, chunk_elements: int = 16_000_000
) -> RecommenderAUC:
    """Measure how well scores rank held-out items above items the user never interacted with.

    Negatives of a user are the items that occur in training and are in neither the user's training nor held-out
    interactions; held-out items that do not occur in training are ignored.

    Args:
        user_scores: The model.
        train: Interactions the model was fitted on, CSR [n_users, n_items].
        test: Held-out interactions, same shape, disjoint from ``train``.
        chunk_elements: Scores that each of two threads holds in memory at a time.

    Raises:
        DataError: No user can be scored, or a user's or an item's scores are not finite.

    Source: section 4.1.5; Cornac's ``AUC`` through ``RatioSplit(exclude_unknowns=True)``.
    """
    keep_freed_memory()  # that of a chunk's scores
    occurs = count_users(train) > 0
    candidates = np.flatnonzero(np.diff(test.indptr))
    users = candidates[np.diff(train.indptr)[candidates] > 0]
    step = max(1, chunk_elements // max(1, train.shape[1]))

    def measure(start: int) -> np.ndarray:
        chunk = users[start : start + step]
        return _chunk_auc(user_scores(chunk), rows_of(train, chunk), rows_of(test, chunk), occurs)

    # Of two threads one compares a chunk's scores while the other multiplies.
    values = [found for _, found in map_in_order(measure, range(0, len(users), step), 2)]
    n_scored = sum(map(len, values))
    if n_scored == 0:
        raise DataError(
            "The AUC needs at least one user with both a training and a held-out interaction, but there is none; "
            "lower dataset.min_items_per_user or check the interactions."
        )
    strict, half_credit = np.concatenate(values).mean(axis=0).tolist()
    return RecommenderAUC(strict, half_credit, n_scored, len(candidates) - n_scored)


def _chunk_auc(
    scores: np.ndarray, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], occurs: np.ndarray
) -> np.ndarray:
    """Strict and half-credit AUC of those users of a chunk who can be scored, [m, 2] float64; overwrites ``scores``."""
    (known, known_offsets), (held_out, offsets) = train, test
    users, n_known = np.arange(len(scores)), np.diff(known_offsets)
    row, may_count = np.repeat(users, np.diff(offsets)), occurs[held_out]
    row, held_out = row[may_count], held_out[may_count]
    positives, n_positives = scores[row, held_out], np.bincount(row, minlength=len(users))
    if not (np.isfinite(positives).all() and np.isfinite(scores[0]).all()):  # any user's vector, and any item's
        raise DataError("The CF model's scores should be finite, but hold NaN or infinity; lower recommender.lr.")
    n_pairs = n_positives * (np.count_nonzero(occurs) - n_known - n_positives)
    scores[:, np.flatnonzero(~occurs)] = np.nan  # no negatives: a comparison with NaN is false
    scores[np.repeat(users, n_known), known] = np.nan
    scores[row, held_out] = np.nan
    ends = np.cumsum(n_positives)
    scored = np.flatnonzero(n_pairs)
    parts = zip(scored.tolist(), (ends - n_positives)[scored].tolist(), ends[scored].tolist(), strict=True)
    counts = [_count(scores[user], positives[start:end]) for user, start, end in parts]  # reads a row from memory once
    below, not_above = np.array(counts, np.float64).reshape(-1, 2).T / n_pairs[scored]
    return np.stack([below, (below + not_above) / 2], axis=1)


def _count(row: np.ndarray, positives: np.ndarray) -> tuple[int, int]:
    """Pairs of a score in ``row`` [n_items] and one of ``positives`` [k]: the first below the second, and not above."""
    if len(positives) > SORT_ABOVE:
        ordered = np.sort(row)  # NaN comes last
        left, right = (int(np.searchsorted(ordered, positives, side).sum()) for side in ("left", "right"))
        return left, right
    below = not_above = 0
    for positive in positives:
        below += int(np.count_nonzero(row < positive))
        not_above += int(np.count_nonzero(row <= positive))
    return below, not_above
