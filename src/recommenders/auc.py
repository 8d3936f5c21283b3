"""AUC of a recommender on held-out interactions, as Cornac defines it, without its loop over all pairs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from src.errors import DataError
from src.recommenders.interactions import count_users, rows_of

UserScores = Callable[[np.ndarray], np.ndarray]
"""Maps row indices of users, [b], to their scores of all items, [b, n_items] float32, higher is better."""

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
    user_scores: UserScores, train: sparse.csr_matrix, test: sparse.csr_matrix, *, chunk_elements: int = 2_000_000
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
    occurs = count_users(train) > 0
    candidates = np.flatnonzero(np.diff(test.indptr))
    users = candidates[np.diff(train.indptr)[candidates] > 0]
    step = max(1, chunk_elements // max(1, train.shape[1]))
    sums, n_scored = np.zeros(2), 0
    for start in range(0, len(users), step):
        chunk = users[start : start + step]
        values = _chunk_auc(user_scores(chunk), rows_of(train, chunk), rows_of(test, chunk), occurs)
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
    scores: np.ndarray, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], occurs: np.ndarray
) -> np.ndarray:
    """Strict and half-credit AUC of those users of a chunk who can be scored, [m, 2] float64.

    One user after the other, so that a row of scores comes from memory once.
    """
    # numpy's BLAS is left alone: its threads would wait spinning while torch's compute the next scores, and back.
    if not (torch.from_numpy(scores).sum().isfinite() or np.isfinite(scores).all()):  # a sum may also overflow
        raise DataError("The CF model's scores should be finite, but hold NaN or infinity; lower recommender.lr.")
    n_occurring, values = np.count_nonzero(occurs), []
    for user, row in enumerate(scores):
        known, held_out = (items[offsets[user] : offsets[user + 1]] for items, offsets in (train, test))
        held_out = held_out[occurs[held_out]]
        n_pairs = len(held_out) * (n_occurring - len(known) - len(held_out))
        if n_pairs:
            negative = occurs.copy()
            negative[known] = negative[held_out] = False
            below, tied = _count(row, negative, row[held_out])
            values.append((below / n_pairs, (below + tied / 2) / n_pairs))
    return np.array(values).reshape(-1, 2)


def _count(row: np.ndarray, negative: np.ndarray, positives: np.ndarray) -> tuple[int, int]:
    """Pairs whose negative scores below the positive, and pairs that tie.

    Args:
        row: A user's scores, [n_items].
        negative: Which of them are negatives, [n_items] bool.
        positives: Scores of the held-out items, [k].
    """
    if len(positives) > SORT_ABOVE:
        ordered = np.sort(row[negative])
        below, not_above = (int(np.searchsorted(ordered, positives, side=side).sum()) for side in ("left", "right"))
        return below, not_above - below
    column = positives[:, None]
    return int(np.count_nonzero((row < column) & negative)), int(np.count_nonzero((row == column) & negative))
