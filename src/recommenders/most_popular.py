"""The non-personalised recommender: every user gets the items with the most users."""

import numpy as np
from scipy import sparse

from src.recommenders.interactions import count_users


class MostPopular:
    """Score = number of users; it has no vectors."""

    def __init__(self) -> None:
        """There is nothing to set."""
        self.curve: list[dict[str, float]] = []

    def fit(self, matrix: sparse.csr_matrix, seed: int) -> None:
        """Count the users of each item of ``matrix``, [n_users, n_items]; nothing is random."""
        self._score = count_users(matrix).astype(np.float32)

    def user_scores(self, users: np.ndarray) -> np.ndarray:
        """The same scores for everyone, [b, n_items]."""
        return np.tile(self._score, (len(users), 1))

    def item_factors(self) -> None:
        """None: popularity is no vector."""
        return None
