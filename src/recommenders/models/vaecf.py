"""Cornac's variational autoencoder, the paper's, to compare ours with; dense, so for small data alone."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from src.config.classifiers import TrainerConfig
from src.config.setting import setting
from src.config.store import schema
from src.recommenders.base import Factors, Recommender, RecommenderConfig


@schema("recommender", "vaecf")
@dataclass
class VAECFConfig(RecommenderConfig):
    """Cornac's VAECF (Liang et al., 2018) with multinomial likelihood and one hidden layer."""

    name: str = setting("vaecf", "shown in tables and directory names")
    latent_size: int = setting(32, "of a user's state", within="[1, inf)")
    beta: float = setting(1.0, "weight of the KL term", within="[0, inf)")
    lr: float = setting(0.01, "learning rate", within="(0, inf)")
    batch_size: int = setting(1024, "users a step", within="[1, inf)")
    n_epochs: int = setting(100, "passes over the users", within="[1, inf)")

    def build(self, trainer: TrainerConfig, item_id: np.ndarray | None = None) -> Recommender:
        """The model."""
        return VAECF(self)


class VAECF(Recommender):
    """Cornac's VAECF behind the interface of all CF models; item vectors are rows of the decoder's last layer."""

    def __init__(self, cfg: VAECFConfig) -> None:
        self.cfg = cfg

    def fit(self, matrix: sparse.csr_matrix, seed: int) -> None:
        """Learn from ``matrix``, [n_users, n_items]."""
        from cornac import models

        from src.recommenders.models.cornac import to_dataset

        cfg, self._matrix = self.cfg, matrix
        model = models.VAECF(
            k=cfg.latent_size,
            autoencoder_structure=[cfg.n_factors],
            n_epochs=cfg.n_epochs,
            batch_size=cfg.batch_size,
            learning_rate=cfg.lr,
            beta=cfg.beta,
            seed=seed % 2**31,
        )
        self._vae = model.fit(to_dataset(matrix, seed)).vae

    def user_scores(self, users: np.ndarray) -> np.ndarray:
        """Logits of all items for the given users, [b, n_items], from the mean of their latent distribution."""
        import torch

        with torch.no_grad():
            mean, _ = self._vae.encode(torch.from_numpy(self._matrix[users].toarray()))
            scores: np.ndarray = self._vae.decoder(mean).numpy()
        return scores

    def item_factors(self) -> Factors:
        """Weights and biases of the decoder's last layer."""
        last = self._vae.decoder[-1]
        return Factors(last.weight.detach().numpy().copy(), last.bias.detach().numpy().copy())
