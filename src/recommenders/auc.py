"""AUC of a recommender on held-out interactions, as Cornac defines it, without its loop over all pairs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from src.errors import DataError
from src.recommenders.interactions import count_users, rows_of

UserScores = Callable[[np.ndarray], np.ndarray]
"""Maps row indices of users, [b], to their scores of all items, [b, n_items] float32, higher is better."""

SORT_ABOVE = 8
"""Users with more held-out items than this have their scores sorted once instead of compared item by item."""


@dataclass(frozen=True)
class RecommenderAUC:
    """Mean over users of the share of (held-out item, negative item) pairs in the right order.

    Attributes:
        strict: A tie counts as a loss, as in Cornac.
        half_credit: A tie counts one half.
        n_users: Users the means are over.
        n_users_skipped: Users with held-out interactions who cannot be scored: none of their interactions is left for
            training, none of the held-out items occurs in training, or no item is negative for them.
    """

    strict: float
    half_credit: float
    n_users: int
    n_users_skipped: int


def recommender_auc(
    user_scores: UserScores, train: sparse.csr_matrix, test: sparse.csr_matrix, *, chunk_elements: int = 4_000_000
) -> RecommenderAUC:
    """Measure how well scores rank held-out items above items the user never interacted with.

    Negatives of a user are the items that occur in training and are in neither the user's training nor held-out
    interactions; held-out items that do not occur in training are ignored.

    Args:
        user_scores: The model.
        train: Interactions the model was fitted on, CSR [n_users, n_items].
        test: Held-out interactions, same shape, disjoint from ``train``.
        chunk_elements: Scores held in memory at a time.

    Raises:
        DataError: No user can be scored, or a score is not finite.

    Source: section 4.1.5; Cornac's ``AUC`` through ``RatioSplit(exclude_unknowns=True)``.
    """
    unknown = np.flatnonzero(count_users(train) == 0)
    candidates = np.flatnonzero(np.diff(test.indptr))
    users = candidates[np.diff(train.indptr)[candidates] > 0]
    step = max(1, chunk_elements // max(1, train.shape[1]))
    sums, n_scored = np.zeros(2), 0
    for start in range(0, len(users), step):
        chunk = users[start : start + step]
        values = _chunk_auc(user_scores(chunk), rows_of(train, chunk), rows_of(test, chunk), unknown)
        sums += values.sum(axis=0)
        n_scored += len(values)
    if n_scored == 0:
        raise DataError(
            "The AUC needs at least one user with both a training and a held-out interaction, but there is none; "
            "lower dataset.min_items_per_user or check the interactions."
        )
    strict, half_credit = (sums / n_scored).tolist()
    return RecommenderAUC(strict, half_credit, n_scored, len(candidates) - n_scored)


def _chunk_auc(
    scores: np.ndarray,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    unknown: np.ndarray,
) -> np.ndarray:
    """Strict and half-credit AUC of the users of a chunk who can be scored, [m, 2] float64."""
    if not np.isfinite(scores).all():
        raise DataError("The CF model's scores should be finite, but hold NaN or infinity; lower recommender.lr.")
    scores = scores.astype(np.result_type(scores, np.float32))  # a copy
    scores[:, unknown] = np.inf
    _set(scores, train, np.inf)
    (items, offsets), n_users = test, len(scores)
    row = np.repeat(np.arange(n_users), np.diff(offsets))
    positive = scores[row, items]
    _set(scores, test, np.inf)
    n_negative = np.isfinite(scores).sum(axis=1)
    values = np.full((n_users, 2), np.nan)
    for user in np.flatnonzero(n_negative):
        own = positive[offsets[user] : offsets[user + 1]]
        own = own[np.isfinite(own)]
        if len(own):
            below, not_above = _count(scores[user], own)
            values[user] = below, (below + not_above) / 2
            values[user] /= len(own) * n_negative[user]
    return values[~np.isnan(values[:, 0])]


def _count(negatives: np.ndarray, positives: np.ndarray) -> tuple[int, int]:
    """Pairs whose negative lies below the positive, and pairs whose negative does not lie above it."""
    if len(positives) > SORT_ABOVE:
        ordered = np.sort(negatives)
        below, not_above = (int(np.searchsorted(ordered, positives, side=side).sum()) for side in ("left", "right"))
        return below, not_above
    below = int(sum(np.count_nonzero(negatives < score) for score in positives))
    return below, below + int(sum(np.count_nonzero(negatives == score) for score in positives))


def _set(scores: np.ndarray, entries: tuple[np.ndarray, np.ndarray], value: float) -> None:
    items, offsets = entries
    scores[np.repeat(np.arange(len(scores)), np.diff(offsets)), items] = value
