"""Normalised SVD: item vectors in closed form, by seconds instead of minutes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from src.config.classifiers import TrainerConfig
from src.config.setting import setting
from src.config.store import schema
from src.recommenders.base import Factors, Recommender, RecommenderConfig

if TYPE_CHECKING:
    import numpy as np
    from scipy import sparse


@schema("recommender", "svd")
@dataclass
class SVDConfig(RecommenderConfig):
    """Truncated SVD of the interactions, each divided by powers of its user's and item's number of interactions."""

    name: str = setting("svd", "shown in tables and directory names")
    user_power: float = setting(0.5, "how much users with many interactions count less", within="[0, 1]")
    item_power: float = setting(0.5, "how much items with many users count less", within="[0, 1]")
    popularity: float = setting(0.5, "power of an item's number of users in its scores", within="[0, 1]")
    spectrum: float = setting(0.0, "power of the singular values in the scores; 0: all directions alike")

    def build(self, trainer: TrainerConfig, item_id: np.ndarray | None = None) -> NormalizedSVD:
        """The model."""
        return NormalizedSVD(self)


class NormalizedSVD(Recommender):
    """A user's score for an item: the item's vector times those of the user's items, which are scaled to count alike.

    With powers of one half and no spectrum it is the ideal low-pass filter of GF-CF.

    Source: Shen et al., How powerful is graph convolution for recommendation?, CIKM 2021.
    """

    def __init__(self, cfg: SVDConfig) -> None:
        """Fit as ``cfg`` says."""
        self.cfg = cfg

    def fit(self, matrix: sparse.csr_matrix, seed: int) -> None:
        """Learn from ``matrix``, [n_users, n_items]; the same seed gives the same bytes."""
        import numpy as np
        from scipy.sparse import diags_array
        from scipy.sparse.linalg import svds

        n_users, n_items = (np.maximum(np.asarray(matrix.sum(axis=axis), float).ravel(), 1) for axis in (0, 1))
        scaled = diags_array(n_items**-self.cfg.user_power) @ matrix @ diags_array(n_users**-self.cfg.item_power)
        start = np.random.default_rng(seed).standard_normal(min(matrix.shape))
        _, values, directions = svds(scaled, k=min(self.cfg.n_factors, min(matrix.shape) - 1), v0=start)
        vectors = directions[::-1].T * (values[::-1] / values[-1]) ** (self.cfg.spectrum / 2)
        self._matrix = matrix
        self._inputs = (vectors / n_users[:, None] ** self.cfg.item_power).astype(np.float32)
        self._vectors = (vectors * n_users[:, None] ** self.cfg.popularity).astype(np.float32)

    def user_scores(self, users: np.ndarray) -> np.ndarray:
        """Scores of all items for the given users, [b, n_items]."""
        return (self._matrix[users] @ self._inputs) @ self._vectors.T

    def item_factors(self) -> Factors:
        """Item vectors; there are no biases."""
        return Factors(self._vectors, 0 * self._vectors[:, 0])
