"""Any Cornac model with item vectors, by class name and parameters; BPR by settings of its own."""

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from src.config.classifiers import TrainerConfig
from src.config.setting import setting
from src.config.store import schema
from src.errors import ConfigError
from src.recommenders.base import Factors, Recommender, RecommenderConfig

WORKING_MODELS = ("BPR", "WBPR", "HPF", "NMF", "PMF", "MF")
"""Models known to give item vectors from interactions alone, without a further package."""


@schema("recommender", "cornac")
@dataclass
class CornacConfig(RecommenderConfig):
    """Any Cornac model with item vectors, by class name and parameters."""

    name: str = setting("cornac", "shown in tables and directory names")
    model: str = setting("WBPR", "name of Cornac's class")
    params: dict[str, Any] = setting({}, "parameters of the class")

    def build(self, trainer: TrainerConfig, item_id: np.ndarray | None = None) -> Recommender:
        """The model."""
        return CornacRecommender(self)


@schema("recommender", "bpr")
@dataclass
class BPRConfig(RecommenderConfig):
    """Bayesian personalised ranking by Cornac (Rendle et al., 2009)."""

    name: str = setting("bpr", "shown in tables and directory names")
    lr: float = setting(0.05, "learning rate", within="(0, inf)")
    regularization: float = setting(0.03, "L2", within="[0, inf)")
    max_iter: int = setting(200, "passes over the interactions", within="[1, inf)")

    def build(self, trainer: TrainerConfig, item_id: np.ndarray | None = None) -> Recommender:
        """The model, in Cornac's terms."""
        params = {"learning_rate": self.lr, "lambda_reg": self.regularization, "max_iter": self.max_iter}
        return CornacRecommender(CornacConfig(n_factors=self.n_factors, model="BPR", params=params))


class CornacRecommender(Recommender):
    """A Cornac model behind the interface of all CF models.

    Cornac appends a bias to the vectors of some models (BPR; MF with ``use_bias``): users then carry a constant 1 as
    last entry, items the bias. Here both are separate: vectors have ``n_factors`` columns, and the score of a user u
    for an item i is u . vector_i + bias_i, up to a constant for each user.
    """

    def __init__(self, cfg: CornacConfig) -> None:
        """Check that the model exists and has vectors; raises ``ConfigError`` if not."""
        self._name, self._class = cfg.model, _model_class(cfg.model)
        accepted = inspect.signature(self._class.__init__).parameters
        unknown = sorted(set(cfg.params) - set(accepted))
        if unknown:
            raise ConfigError(
                f"recommender.params of Cornac's {cfg.model} should be among {', '.join(sorted(accepted))}, but got "
                f"{', '.join(unknown)}."
            )
        defaults = {"k": cfg.n_factors, "verbose": False}
        self._params = {name: value for name, value in defaults.items() if name in accepted} | dict(cfg.params)
        self._seeded = "seed" in accepted

    def fit(self, matrix: sparse.csr_matrix, seed: int) -> None:
        """Learn from ``matrix``, [n_users, n_items]; Cornac never sees items without interactions."""
        known = np.flatnonzero(np.diff(matrix.tocsc().indptr))
        model = self._class(**self._params, **({"seed": seed % 2**31} if self._seeded else {}))
        try:
            model.fit(to_dataset(matrix[:, known], seed))
        except ImportError as error:
            raise ConfigError(
                f"Cornac's {self._name} needs a package that is not installed ({error}); install it, or set "
                f"recommender.model to another, such as BPR."
            ) from error
        self._users, vectors, bias = _split_bias(model.get_user_vectors(), model.get_item_vectors())
        self._vectors = np.zeros((matrix.shape[1], vectors.shape[1]), np.float32)
        self._bias = np.zeros(matrix.shape[1], np.float32)
        self._vectors[known], self._bias[known] = vectors, bias

    def user_scores(self, users: np.ndarray) -> np.ndarray:
        """Scores of all items for the given users, [b, n_items]; zero for items without interactions."""
        return self._users[users] @ self._vectors.T + self._bias

    def item_factors(self) -> Factors:
        """Item vectors without the appended bias, and the bias (zero if the model has none)."""
        return Factors(self._vectors, self._bias)


def to_dataset(matrix: sparse.csr_matrix, seed: int) -> Any:
    """Cornac's ``Dataset`` of ``matrix``, users and items numbered as in it."""
    from cornac.data import Dataset

    entries = matrix.tocoo()
    uir = (entries.row.astype(int), entries.col.astype(int), entries.data.astype(float))
    users, items = ({index: index for index in range(size)} for size in matrix.shape)
    return Dataset(*matrix.shape, users, items, uir, seed=seed % 2**31)


def _split_bias(users: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Separate user vectors [n_users, f], item vectors [n_items, f] and item biases [n_items], all float32."""
    users, items = np.asarray(users, dtype=np.float32), np.asarray(items, dtype=np.float32)
    if (users[:, -1] == 1.0).all():
        return users[:, :-1], items[:, :-1], items[:, -1]
    return users, items, np.zeros(len(items), np.float32)


def _model_class(name: str) -> Any:
    import cornac.models
    from cornac.models.recommender import MEASURE_DOT

    model: Any = getattr(cornac.models, name, None)
    advice = f"set recommender.model to one that has, such as {', '.join(WORKING_MODELS)}."
    if not inspect.isclass(model):
        raise ConfigError(f"Cornac has no model named {name!r}; {advice}")
    if not hasattr(model, "get_item_vectors"):
        raise ConfigError(f"Cornac's {name} has no item vectors; {advice}")
    try:
        instance: Any = model()
        measure = instance.get_vector_measure()
    except TypeError as error:
        raise ConfigError(f"Cornac's {name} cannot be built from interactions alone ({error}); {advice}") from error
    if measure != MEASURE_DOT:
        raise ConfigError(f"Cornac's {name} has no item vectors whose dot product is the score; {advice}")
    return model
