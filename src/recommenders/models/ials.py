"""Implicit-feedback matrix factorisation by alternating least squares, by the package ``implicit``."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from src.config.classifiers import TrainerConfig
from src.config.setting import setting
from src.config.store import schema
from src.recommenders.base import Factors, Recommender, RecommenderConfig


@schema("recommender", "ials")
@dataclass
class IALSConfig(RecommenderConfig):
    """Matrix factorisation by alternating least squares (Hu et al., 2008), by the package implicit."""

    name: str = setting("ials", "shown in tables and directory names")
    interaction_weight: float = setting(40.0, "confidence of an interaction; that of none is 1", within="(0, inf)")
    regularization: float = setting(100.0, "L2", within="[0, inf)")
    max_iter: int = setting(15, "alternations", within="[1, inf)")

    def build(self, trainer: TrainerConfig, item_id: np.ndarray | None = None) -> Recommender:
        """The model."""
        return IALS(self)


class IALS(Recommender):
    """Item vectors whose dot product with a user's is near 1 for an interaction and near 0 for none.

    Source: Hu, Koren and Volinsky, Collaborative filtering for implicit feedback datasets, 2008.
    """

    def __init__(self, cfg: IALSConfig) -> None:
        self.cfg = cfg

    def fit(self, matrix: sparse.csr_matrix, seed: int) -> None:
        """Learn from ``matrix``, [n_users, n_items]; the same seed gives the same bytes."""
        from implicit.cpu.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits

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
        return self._users[users] @ self._vectors.T

    def item_factors(self) -> Factors:
        """Item vectors; iALS has no biases."""
        return Factors(self._vectors, 0 * self._vectors[:, 0])
