"""The variational autoencoder as a CF model: its settings, and the fitted network behind the common interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from src.config.classifiers import TrainerConfig
from src.config.store import schema
from src.recommenders.base import Factors, Recommender
from src.recommenders.vae.settings import VAESettings

if TYPE_CHECKING:
    import numpy as np
    from scipy import sparse


@schema("recommender", "vae")
@dataclass
class VAEConfig(VAESettings):
    """Variational autoencoder for CF with a multinomial likelihood (Liang et al., 2018) and one bias per item."""

    def build(self, trainer: TrainerConfig) -> VAERecommender:
        """The model."""
        return VAERecommender(self, trainer)


class VAERecommender(Recommender):
    """The VAE behind the interface of all CF models."""

    def __init__(self, cfg: VAEConfig, trainer: TrainerConfig) -> None:
        """Fit as ``cfg`` says, on the accelerator that ``trainer`` names."""
        self.cfg, self.trainer = cfg, trainer

    def fit(self, matrix: sparse.csr_matrix, seed: int) -> None:
        """Learn from ``matrix``, [n_users, n_items]; on the CPU, the same seed gives the same bytes."""
        from src.recommenders.vae.training import fit_vae

        self._matrix = matrix
        self._vae, self.curve = fit_vae(matrix, self.cfg, self.trainer, seed)

    def user_scores(self, users: np.ndarray) -> np.ndarray:
        """Logits of all items for the given users, [b, n_items], from the mean of their latent distribution."""
        import torch

        from src.recommenders.interactions import rows_of

        items, offsets = rows_of(self._matrix, users)
        return self._vae.logits(torch.from_numpy(items), torch.from_numpy(offsets)).numpy()

    def item_factors(self) -> Factors:
        """Weights of the decoder's last layer, and its bias (zero without)."""
        vectors = self._vae.item_vectors.detach().numpy().copy()
        bias = self._vae.item_bias
        return Factors(vectors, 0 * vectors[:, 0] if bias is None else bias.detach().numpy().copy())
