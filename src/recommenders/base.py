"""The one interface all CF models share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from omegaconf import MISSING
from scipy import sparse

from src.artifacts import ItemVectors
from src.config.classifiers import SearchConfig, TrainerConfig
from src.config.setting import option, setting
from src.config.stages import RecommenderTrainingConfig
from src.data.folds import FoldData
from src.errors import ConfigError


@dataclass(frozen=True)
class Factors:
    """What a fitted model knows of each item: ``vectors`` [n_items, f] float32 and ``bias`` [n_items] float32."""

    vectors: np.ndarray
    bias: np.ndarray


class Recommender(Protocol):
    """A CF model: fitted on a binary user x item matrix, it scores all items for a user.

    Attributes:
        curve: Training curve, one row for each logged step (``step``, ``train/loss``, ...); empty without one.
    """

    curve: Sequence[dict[str, float]] = ()

    def fit(self, matrix: sparse.csr_matrix, seed: int) -> None:
        """Learn from ``matrix``, [n_users, n_items]; ``seed`` is the only source of randomness."""

    def user_scores(self, users: np.ndarray) -> np.ndarray:
        """Scores of all items for the given rows of the fitted matrix, [b, n_items] float32, higher is better."""

    def item_factors(self) -> Factors | None:
        """Vectors and biases in the order of the matrix's columns; None for a model without vectors."""


@dataclass
class RecommenderConfig:
    """What every CF model has; a model adds its own settings in a subclass and builds itself."""

    has_vectors: ClassVar[bool] = True

    name: str = setting(MISSING, "shown in tables and directory names")
    n_factors: int = setting(128, "f, size of an item vector", within="[1, inf)")
    auc_holdout: float = setting(0.2, "share of the train items' interactions held out for the AUC", within="(0, 0.9]")
    trials: list[dict[str, Any]] = option([], "settings that tuning tries first, each beside the schema's defaults")
    search: dict[str, SearchConfig] = option({}, "where tuning searches")

    def inputs(self, cfg: RecommenderTrainingConfig) -> dict[str, str]:
        """Digests, by kind, of files beside the interactions that its vectors come from."""
        return {}

    def given(self, cfg: RecommenderTrainingConfig, data: FoldData) -> tuple[ItemVectors, dict[str, int]] | None:
        """Vectors that were made elsewhere, and counts for ``metrics.json``; None: a model is fitted."""
        return None

    def build(self, trainer: TrainerConfig, item_id: np.ndarray | None = None) -> Recommender:
        """The model; raises ``ConfigError`` for settings that do not fit together.

        ``item_id`` [n_items] names the matrix's columns where vectors of an earlier run are to be kept.
        """
        raise ConfigError(f"recommender={self.name} is none of configs/recommender/*.yaml.")
