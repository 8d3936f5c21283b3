"""The variational autoencoder as a CF model: its settings, and the fitted network behind the common interface."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from src.artifacts import MANIFEST_FILE, VECTORS_FILE, ItemVectors
from src.config.classifiers import TrainerConfig
from src.config.setting import option
from src.config.stages import RecommenderTrainingConfig
from src.config.store import schema
from src.errors import ConfigError
from src.files import load_json, sha256_of_file
from src.recommenders.base import Factors, Recommender
from src.recommenders.interactions import rows_of
from src.recommenders.vae.settings import VAESettings

logger = logging.getLogger(__name__)


@schema("recommender", "vae")
@dataclass
class VAEConfig(VAESettings):
    """Variational autoencoder for CF with a multinomial likelihood (Liang et al., 2018) and one bias per item."""

    init: str | None = option(None, "finished run of this model and fold, whose items keep their vectors")

    def inputs(self, cfg: RecommenderTrainingConfig) -> dict[str, str]:
        """SHA-256 of the vectors to keep; raises ``ConfigError`` for those of another model, dataset or fold."""
        if self.init is None:
            return {}
        made = load_json(Path(self.init) / MANIFEST_FILE)["config"]
        here = cfg.dataset.name, self.name, self.n_factors, cfg.fold, cfg.leaks
        model = made["recommender"]
        there = made["dataset"]["name"], model["name"], model["n_factors"], made["fold"], made["leaks"]
        if here != there:
            wanted = f"dataset, recommender, n_factors, fold and leaks {here}"
            raise ConfigError(f"recommender.init should be a run with {wanted}, but {self.init} is one with {there}.")
        return {"init": sha256_of_file(Path(self.init) / VECTORS_FILE)}

    def build(self, trainer: TrainerConfig, item_id: np.ndarray | None = None) -> Recommender:
        """The model."""
        return VAERecommender(self, trainer, item_id)


class VAERecommender(Recommender):
    """The VAE behind the interface of all CF models."""

    def __init__(self, cfg: VAEConfig, trainer: TrainerConfig, item_id: np.ndarray | None = None) -> None:
        """Fit as ``cfg`` says, on the accelerator that ``trainer`` names; ``item_id`` as of ``build``."""
        self.cfg, self.trainer, self._item_id = cfg, trainer, item_id

    def fit(self, matrix: sparse.csr_matrix, seed: int) -> None:
        """Learn from ``matrix``, [n_users, n_items]; on the CPU, the same seed gives the same bytes."""
        from src.recommenders.vae.training import fit_vae

        self._matrix = matrix
        self._vae, self.curve = fit_vae(matrix, self.cfg, self.trainer, seed, self._kept())

    def _kept(self) -> tuple[np.ndarray, Factors] | None:
        """The columns of items that keep their vectors, [k], and these."""
        if self.cfg.init is None or self._item_id is None:
            return None
        stored = ItemVectors.load(Path(self.cfg.init) / VECTORS_FILE)
        _, columns, rows = np.intersect1d(self._item_id, stored.item_id, return_indices=True)
        logger.info("%d of %d items keep their vectors.", len(columns), len(self._item_id))
        return columns, Factors(stored.vectors[rows], stored.bias[rows])

    def user_scores(self, users: np.ndarray) -> np.ndarray:
        """Logits of all items for the given users, [b, n_items], from the mean of their latent distribution."""
        import torch

        items, offsets = rows_of(self._matrix, users)
        return self._vae.logits(torch.from_numpy(items), torch.from_numpy(offsets)).numpy()

    def item_factors(self) -> Factors:
        """Weights of the decoder's last layer, and its bias (zero without)."""
        vectors = self._vae.item_vectors.detach().numpy().copy()
        bias = self._vae.item_bias
        return Factors(vectors, 0 * vectors[:, 0] if bias is None else bias.detach().numpy().copy())
