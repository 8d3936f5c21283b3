"""Several CF models as one: what one misses of an item, another may know."""

from collections.abc import Mapping

import numpy as np
from scipy import sparse

from src.errors import ConfigError
from src.recommenders.base import Factors, Recommender
from src.runs import derive_seed


class JointRecommender:
    """Vectors of all parts side by side, each part scaled to the same spread, and the mean of their scores.

    A user's scores are standardised first, so they are no dot product with the vectors: only their order counts.
    """

    def __init__(self, parts: Mapping[str, Recommender]) -> None:
        """Combine ``parts``, each named."""
        self._parts = parts
        self.curve: list[dict[str, float]] = []

    def fit(self, matrix: sparse.csr_matrix, seed: int) -> None:
        """Fit one part after the other on ``matrix``, [n_users, n_items]."""
        for name, part in self._parts.items():
            part.fit(matrix, derive_seed(seed, name))

    def user_scores(self, users: np.ndarray) -> np.ndarray:
        """Mean over parts of the standardised scores of all items, [b, n_items] float32."""
        return np.mean([_standardized(part.user_scores(users)) for part in self._parts.values()], axis=0)

    def item_factors(self) -> Factors:
        """Vectors [n_items, sum of f], every part with mean square 1, and the mean of the parts' standardised biases.

        Raises:
            ConfigError: A part has no vectors.
        """
        factors = {name: part.item_factors() for name, part in self._parts.items()}
        without = [name for name, value in factors.items() if value is None]
        if without:
            raise ConfigError(f"recommender.parts should be CF models with vectors, but {', '.join(without)} has none.")
        known = [value for value in factors.values() if value is not None]
        vectors = [value.vectors / max(float(np.sqrt(np.square(value.vectors).mean())), 1e-12) for value in known]
        biases = [_standardized(value.bias[None])[0] for value in known]
        return Factors(np.hstack(vectors).astype(np.float32), np.mean(biases, axis=0).astype(np.float32))


def _standardized(scores: np.ndarray) -> np.ndarray:
    """Rows of mean 0 and standard deviation 1, or 0 where they do not vary, [b, n]."""
    centred = scores - scores.mean(axis=1, keepdims=True)
    result: np.ndarray = centred / np.maximum(centred.std(axis=1, keepdims=True), 1e-12)
    return result
