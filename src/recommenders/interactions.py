"""Interactions as a sparse binary user x item matrix, and the random hold-out that the AUC is measured on."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from src.artifacts import ITEM_ID, USER_ID
from src.errors import DataError


@dataclass(frozen=True)
class UserItem:
    """Who interacted with what.

    Attributes:
        matrix: CSR, [n_users, n_items] float32, every stored value 1, column indices sorted within a row.
        user_id: Row names, sorted strings, [n_users].
        item_id: Column names, sorted strings, [n_items].
    """

    matrix: sparse.csr_matrix
    user_id: np.ndarray
    item_id: np.ndarray

    @property
    def n_users_per_item(self) -> np.ndarray:
        """Interacting users of each item, [n_items] int64."""
        return count_users(self.matrix)


def build_user_item(interactions: pd.DataFrame, item_ids: np.ndarray | None = None) -> UserItem:
    """Turn a table of interactions into a matrix; the order and repetition of its rows do not matter.

    Args:
        interactions: Columns ``user_id`` and ``item_id``.
        item_ids: The items that become columns; others are left out. By default every item that occurs.

    Raises:
        DataError: There is no interaction.
    """
    if item_ids is not None:
        interactions = interactions[interactions[ITEM_ID].isin(item_ids).to_numpy()]
    if interactions.empty:
        raise DataError(
            "A CF model needs interactions, but the train items of this fold have none; check report.json of the "
            "prepared dataset, or train with method=image_only, which needs none."
        )
    users, user_idx = _names_and_index(interactions[USER_ID])
    items, item_idx = _names_and_index(interactions[ITEM_ID])
    if item_ids is not None:
        known, items = items, np.unique(np.asarray(item_ids, dtype=np.str_))
        item_idx = np.searchsorted(items, known)[item_idx]
    matrix = sparse.coo_matrix(
        (np.ones(len(user_idx), dtype=np.float32), (user_idx, item_idx)), shape=(len(users), len(items))
    ).tocsr()
    return UserItem(_binary(matrix), users, items)


def hold_out(
    matrix: sparse.csr_matrix, share: float, rng: np.random.Generator
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Split the interactions at random into two matrices of the same shape: the rest, and ``share`` of them."""
    entries = matrix.tocoo()
    held = np.zeros(entries.nnz, dtype=bool)
    held[rng.permutation(entries.nnz)[: np.ceil(share * entries.nnz).astype(int)]] = True
    rest, test = (
        sparse.coo_matrix((entries.data[keep], (entries.row[keep], entries.col[keep])), shape=matrix.shape).tocsr()
        for keep in (~held, held)
    )
    return _binary(rest), _binary(test)


def count_users(matrix: sparse.csr_matrix) -> np.ndarray:
    """Interacting users of each item, [n_items] int64."""
    return np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.int64)


def rows_of(matrix: sparse.csr_matrix, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The items of some users: their column indices one user after another, and where each user begins.

    Args:
        matrix: CSR, [n_users, n_items].
        users: Row indices, [b].

    Returns:
        ``items`` [n] int64 and ``offsets`` [b + 1] int64, so that user k has ``items[offsets[k] : offsets[k + 1]]``.
    """
    begin, count = matrix.indptr[users].astype(np.int64), np.diff(matrix.indptr)[users].astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(count)])
    position = np.arange(offsets[-1]) + np.repeat(begin - offsets[:-1], count)
    return matrix.indices[position].astype(np.int64), offsets


def _names_and_index(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Distinct values, sorted, and the place of each row's value among them: the strings are touched once each."""
    used = column.astype("category").cat.remove_unused_categories().cat
    names, place = np.unique(used.categories.to_numpy(dtype=np.str_), return_inverse=True)
    return names, place.astype(np.int32)[used.codes.to_numpy()]


def _binary(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    matrix.sum_duplicates()
    matrix.sort_indices()
    matrix.data[:] = 1.0
    return matrix
