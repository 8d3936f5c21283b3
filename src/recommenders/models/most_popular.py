"""The non-personalised recommender: every user gets the items with the most users."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse

from src.config.classifiers import TrainerConfig
from src.config.setting import setting
from src.config.store import schema
from src.recommenders.base import Recommender, RecommenderConfig
from src.recommenders.interactions import count_users


@schema("recommender", "most_popular")
@dataclass
class MostPopularConfig(RecommenderConfig):
    """Non-personalised: score = number of users. Writes metrics only."""

    has_vectors: ClassVar[bool] = False

    name: str = setting("most_popular", "shown in tables and directory names")

    def build(self, trainer: TrainerConfig, item_id: np.ndarray | None = None) -> Recommender:
        """The model."""
        return MostPopular()


class MostPopular(Recommender):
    """Score = number of users; it has no vectors."""

    def fit(self, matrix: sparse.csr_matrix, seed: int) -> None:
        """Count the users of each item of ``matrix``, [n_users, n_items]; nothing is random."""
        self._score = count_users(matrix).astype("float32")

    def user_scores(self, users: np.ndarray) -> np.ndarray:
        """The same scores for everyone, [b, n_items]."""
        return self._score[None].repeat(len(users), axis=0)

    def item_factors(self) -> None:
        """None: popularity has no vectors."""
