"""Users' states in a finished CF model, which is fitted again for them: its run keeps vectors of items alone."""

from pathlib import Path

import numpy as np

from src.artifacts import VECTORS_FILE, ItemVectors
from src.config.stages import RecommenderTrainingConfig
from src.errors import ArtifactError
from src.recommenders.base import Recommender
from src.recommenders.interactions import UserItem
from src.recommenders.train import fit_on_all

CELLS = 20_000_000  # scores held at a time


def fit_again(cfg: RecommenderTrainingConfig, user_item: UserItem, directory: Path) -> tuple[Recommender, ItemVectors]:
    """The model of the finished run in ``directory``, of which ``cfg`` is the config, and the vectors that it stored.

    Raises:
        ArtifactError: Other vectors come out.
        ConfigError: There is no model to fit, as with ``recommender=external``.
    """
    model, stored = fit_on_all(cfg, user_item), ItemVectors.load(directory / VECTORS_FILE)
    factors = model.item_factors()
    if (
        factors is None
        or factors.vectors.shape != stored.vectors.shape
        or not np.allclose(factors.vectors, stored.vectors, atol=1e-4)
    ):
        raise ArtifactError(
            f"Fitted again, {directory} has other vectors than before, as on a GPU or another machine; fit it here "
            "with trainer.accelerator=cpu force=true, and train the runs again."
        )
    return model, stored


def user_states(model: Recommender, known: ItemVectors, users: np.ndarray) -> np.ndarray:
    """States of the model's ``users`` [U], [U, f] float32.

    Products with vectors, less the mean of ``known``, are scores without biases, less a user's mean.
    """
    inverse, states = np.linalg.pinv(known.vectors - known.vectors.mean(axis=0)).T, []
    for part in np.array_split(users, len(users) * len(inverse) // CELLS + 1):
        scores = model.user_scores(part) - known.bias
        states.append((scores - scores.mean(axis=1, keepdims=True)) @ inverse)
    return np.concatenate(states)
