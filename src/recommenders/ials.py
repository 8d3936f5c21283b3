"""Implicit-feedback matrix factorisation by alternating least squares, by the package ``implicit``."""

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from src.config import IALSConfig
from src.recommenders.base import Factors


class IALS:
    """Item vectors whose dot product with a user's is near 1 for an interaction and near 0 for none.

    Source: Hu, Koren and Volinsky, Collaborative filtering for implicit feedback datasets, 2008.
    """

    def __init__(self, cfg: IALSConfig) -> None:
        """Fit as ``cfg`` says."""
        self.cfg = cfg
        self.curve: list[dict[str, float]] = []

    def fit(self, matrix: sparse.csr_matrix, seed: int) -> None:
        """Learn from ``matrix``, [n_users, n_items]; the same seed gives the same bytes."""
        from implicit.cpu.als import AlternatingLeastSquares

        with threadpool_limits(1, "blas"):  # implicit's own threads, one a core, are enough
            model = AlternatingLeastSquares(
                factors=self.cfg.n_factors,
                regularization=self.cfg.regularization,
                alpha=self.cfg.interaction_weight,
                iterations=self.cfg.max_iter,
                random_state=seed % 2**32,
            )
            model.fit(matrix, show_progress=False)
        self._users, self._vectors = model.user_factors, model.item_factors

    def user_scores(self, users: np.ndarray) -> np.ndarray:
        """Scores of all items for the given users, [b, n_items]."""
        scores: np.ndarray = self._users[users] @ self._vectors.T
        return scores

    def item_factors(self) -> Factors:
        """Item vectors; iALS has no biases."""
        return Factors(self._vectors, np.zeros(len(self._vectors), np.float32))
