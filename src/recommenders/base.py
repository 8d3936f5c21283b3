"""The one interface all CF models share."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import sparse


@dataclass(frozen=True)
class Factors:
    """What a fitted model knows of each item: ``vectors`` [n_items, f] float32 and ``bias`` [n_items] float32."""

    vectors: np.ndarray
    bias: np.ndarray


class Recommender(Protocol):
    """A CF model: fitted on a binary user x item matrix, it scores all items for a user.

    Attributes:
        curve: Training curve, one row a logged step (``step``, ``train/loss``, ...); empty if the model has none.
    """

    curve: list[dict[str, float]]

    def fit(self, matrix: sparse.csr_matrix, seed: int) -> None:
        """Learn from ``matrix``, [n_users, n_items]; ``seed`` is the only source of randomness."""

    def user_scores(self, users: np.ndarray) -> np.ndarray:
        """Scores of all items for the given rows of the fitted matrix, [b, n_items] float32, higher is better."""

    def item_factors(self) -> Factors | None:
        """Vectors and biases in the order of the matrix's columns; None for a model without vectors."""
