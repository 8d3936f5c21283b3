"""Several CF models as one: each may have information on an item that another lacks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from src.config.classifiers import TrainerConfig
from src.config.setting import setting
from src.config.stages import RecommenderTrainingConfig
from src.config.store import schema
from src.errors import ConfigError
from src.randomness import derive_seed
from src.recommenders.base import Factors, Recommender, RecommenderConfig


@schema("recommender", "joint")
@dataclass
class JointConfig(RecommenderConfig):
    """Several CF models as one: vectors side by side, scores averaged."""

    name: str = setting("joint", "shown in tables and directory names")
    parts: dict[str, Any] = setting({}, "CF models with vectors, by name")

    def inputs(self, cfg: RecommenderTrainingConfig) -> dict[str, str]:
        """Those of the parts."""
        of_part = {name: part.inputs(cfg) for name, part in self.parts.items()}
        return {f"{name}.{kind}": value for name, inputs in of_part.items() for kind, value in inputs.items()}

    def build(self, trainer: TrainerConfig, item_id: np.ndarray | None = None) -> Recommender:
        """The model; raises ``ConfigError`` without two parts that have vectors."""
        fitting = [name for name, part in self.parts.items() if part.has_vectors]
        if len(fitting) < 2 or len(fitting) < len(self.parts):
            raise ConfigError(
                "recommender.parts should be at least two CF models with vectors, but those with vectors among "
                f"{list(self.parts)} are {fitting}."
            )
        return JointRecommender({name: part.build(trainer, item_id) for name, part in self.parts.items()})


class JointRecommender(Recommender):
    """Vectors of all parts side by side, each part scaled to the same spread, and the mean of their scores.

    A user's scores are standardised first, so they are no dot product with the vectors: only their order counts.
    """

    def __init__(self, parts: Mapping[str, Recommender]) -> None:
        self._parts = parts

    def fit(self, matrix: sparse.csr_matrix, seed: int) -> None:
        """Fit one part after the other on ``matrix``, [n_users, n_items]."""
        for name, part in self._parts.items():
            part.fit(matrix, derive_seed(seed, name))

    def user_scores(self, users: np.ndarray) -> np.ndarray:
        """Mean over parts of the standardised scores of all items, [b, n_items] float32."""
        return np.mean([_standardized(part.user_scores(users)) for part in self._parts.values()], axis=0)

    def item_factors(self) -> Factors:
        """Vectors [n_items, sum of f], each part's with mean square 1, and the mean of standardised biases."""
        known = [factors for part in self._parts.values() if (factors := part.item_factors()) is not None]
        vectors = [value.vectors / max(float(np.sqrt(np.square(value.vectors).mean())), 1e-12) for value in known]
        biases = [_standardized(value.bias[None])[0] for value in known]
        return Factors(np.hstack(vectors).astype(np.float32), np.mean(biases, axis=0).astype(np.float32))


def _standardized(scores: np.ndarray) -> np.ndarray:
    """Rows of mean 0 and standard deviation 1, or 0 where they do not vary, [b, n]."""
    centred = scores - scores.mean(axis=1, keepdims=True)
    return centred / np.maximum(centred.std(axis=1, keepdims=True), 1e-12)
