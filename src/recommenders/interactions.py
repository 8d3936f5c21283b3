"""Interactions as a sparse binary user x item matrix, and the random hold-out that the AUC is measured on."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from src.artifacts import ITEM_IDX, USER_IDX
from src.data.folds import N_FOLDS, renumber
from src.errors import DataError

TUNED_ON = 0.08
"""Share of the interactions that settings are chosen on: a tenth of those that a fold does not report the AUC on."""


@dataclass(frozen=True)
class UserItem:
    """Who interacted with what.

    Attributes:
        matrix: CSR, [n_users, n_items] float32, every stored value 1, column indices sorted within a row.
        item_id: Column names, strings in the order of the item table, [n_items].
        place: Of each stored interaction in [0, 1), by a hash of user and item alone, so the same in every fold, [nnz].
    """

    matrix: sparse.csr_matrix
    item_id: np.ndarray
    place: np.ndarray

    def split(self, fold: int, share: float) -> tuple[sparse.csr_matrix, sparse.csr_matrix, sparse.csr_matrix]:
        """Split the interactions at random into three matrices of the same shape.

        Returns:
            What models are fitted on while settings are chosen; what settings are chosen on, ``TUNED_ON`` of all, in
            no fold part of the next; and the ``share`` that a fold reports the AUC on, shifted from fold to fold.
        """
        start = TUNED_ON + (1 - TUNED_ON - share) * fold / (N_FOLDS - 1)
        chooses, reports = self.place < TUNED_ON, (self.place >= start) & (self.place < start + share)
        rest, chosen, reported = (
            only(self.matrix, mask) for mask in (~(chooses | reports), chooses & ~reports, reports)
        )
        return rest, chosen, reported


def build_user_item(interactions: pd.DataFrame, item_id: np.ndarray) -> UserItem:
    """Turn a table of interactions into a matrix of the users and items that occur, in the order of their numbers.

    The order and repetition of the table's rows do not matter. ``item_id`` has the names of all items by their numbers.
    Raises ``DataError``: there is no interaction.
    """
    if interactions.empty:
        raise DataError(
            "A CF model needs interactions, but the train items of this fold have none; check report.json of the "
            "prepared dataset, or train with method=image_only, which needs none."
        )
    users, row = renumber(interactions[USER_IDX].to_numpy())
    items, column = renumber(interactions[ITEM_IDX].to_numpy())
    entries = np.ones(len(row), dtype=np.float32), (row, column)
    matrix = sparse.csr_matrix(entries, shape=(len(users), len(items)))  # sums repetitions
    matrix.sort_indices()
    matrix.data[:] = 1.0
    pairs = np.repeat(users.astype(np.int64), np.diff(matrix.indptr)) << 32
    pairs |= items[matrix.indices]
    place = (pd.util.hash_array(pairs) / 2.0**64).astype(np.float32)
    return UserItem(matrix, np.asarray(item_id)[items].astype(np.str_), place)


def hold_out(
    matrix: sparse.csr_matrix, share: float, rng: np.random.Generator
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Split the interactions at random into two matrices of the same shape: the rest, and ``share`` of them."""
    held = np.zeros(matrix.nnz, dtype=bool)
    held[rng.permutation(matrix.nnz)[: np.ceil(share * matrix.nnz).astype(int)]] = True
    return only(matrix, ~held), only(matrix, held)


def count_users(matrix: sparse.csr_matrix) -> np.ndarray:
    """Interacting users of each item, [n_items] int64."""
    return np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.int64)


def rows_of(matrix: sparse.csr_matrix, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The items of some users (row indices [b]): column indices one user after another, and where each user begins.

    These are ``items`` [n] int64 and ``offsets`` [b + 1] int64: user k has ``items[offsets[k] : offsets[k + 1]]``.
    """
    begin = matrix.indptr[users].astype(np.int64)
    count = matrix.indptr[users + 1] - begin
    offsets = np.concatenate([[0], np.cumsum(count)])
    position = np.arange(offsets[-1]) + np.repeat(begin - offsets[:-1], count)
    return matrix.indices[position].astype(np.int64), offsets


def only(matrix: sparse.csr_matrix, chosen: np.ndarray) -> sparse.csr_matrix:
    """A matrix with the ``chosen`` ones of its entries, [nnz] bool."""
    before = np.concatenate([[0], np.cumsum(chosen, dtype=matrix.indptr.dtype)]).astype(matrix.indptr.dtype)
    return sparse.csr_matrix((matrix.data[chosen], matrix.indices[chosen], before[matrix.indptr]), shape=matrix.shape)
