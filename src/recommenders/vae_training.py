"""Training of the VAE: a Lightning loop over a fixed number of batches of users."""

from functools import lru_cache

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from scipy import sparse
from torch.utils.data import DataLoader, Dataset

from src.config import TrainerConfig, VAEConfig
from src.console import quiet_lightning
from src.errors import ConfigError
from src.recommenders.base import Factors
from src.recommenders.interactions import rows_of
from src.recommenders.vae import VAE, kl_divergence
from src.runs import derive_seed

LOG_EVERY = 20
AVERAGE_EVERY = 5

Batch = tuple[torch.Tensor, torch.Tensor, int]


class UserBatches(Dataset[Batch]):
    """Batch of each step, all of one size: items one user after another, offsets, and the step.

    Batches are cut from one pass over the shuffled users after another, and may straddle two passes; users without
    interactions are left out.
    """

    def __init__(self, matrix: sparse.csr_matrix, batch_size: int, n_steps: int, seed: int) -> None:
        """Draw the order of users from ``seed`` alone."""
        self.matrix, self.n_steps, self.seed = matrix, n_steps, seed
        self.users = np.flatnonzero(np.diff(matrix.indptr))
        self.batch_size = min(batch_size, len(self.users))
        self._shuffled = lru_cache(maxsize=2)(self._shuffle)

    def __len__(self) -> int:
        return self.n_steps

    def __getitem__(self, step: int) -> Batch:
        first = step * self.batch_size
        passes, place = np.divmod(np.arange(first, first + self.batch_size), len(self.users))
        batch = np.concatenate([self._shuffled(number)[place[passes == number]] for number in np.unique(passes)])
        items, offsets = rows_of(self.matrix, batch)
        return torch.from_numpy(items), torch.from_numpy(offsets), step

    def _shuffle(self, number: int) -> np.ndarray:
        return np.random.default_rng([self.seed, number]).permutation(self.users)


class VAEModule(lightning.LightningModule):
    """One optimizer step a batch: multinomial likelihood plus the weighted KL term."""

    def __init__(self, vae: VAE, cfg: VAEConfig, seed: int) -> None:
        """Train ``vae``; noise of step s depends on ``seed`` and s alone."""
        super().__init__()
        self.vae, self.cfg, self.seed = vae, cfg, seed
        self.curve: list[dict[str, float]] = []

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Loss of one batch, a scalar; with several devices, of this one's share of its users.

        Random numbers are drawn for the whole batch, so that devices learn together what one would; only where items
        are sampled, each draws its own.
        """
        items, offsets, step = batch
        generator = torch.Generator(self.device).manual_seed(derive_seed(self.seed, "noise", step))
        weights = None
        if self.cfg.dropout > 0:
            kept = torch.rand(len(items), generator=generator, device=self.device) >= self.cfg.dropout
            weights = kept / (1 - self.cfg.dropout)
        n_users = len(offsets) - 1
        noise = torch.randn(n_users, self.cfg.latent_size, generator=generator, device=self.device)
        rank, n_ranks = self.global_rank, self.trainer.world_size
        if n_ranks > 1:
            first, last = n_users * rank // n_ranks, n_users * (rank + 1) // n_ranks
            own = slice(*offsets[[first, last]].tolist())
            items, weights = items[own], None if weights is None else weights[own]
            offsets, noise = offsets[first : last + 1] - offsets[first], noise[first:last]
        mean, log_variance = self.vae.encode(items, offsets, weights)
        hidden = self.vae.decode(mean + noise * (0.5 * log_variance).exp())
        likelihood_loss = self.vae.negative_log_likelihood(hidden, items, offsets, generator)
        kl = kl_divergence(mean, log_variance).mean()
        loss: torch.Tensor = likelihood_loss + self.cfg.beta * kl
        if n_ranks > 1:  # gradients are averaged over devices, whose shares may differ by a user
            share = len(noise) * n_ranks / n_users
            loss, kl = loss * share, kl * share
        if step % LOG_EVERY == 0 or step == self.cfg.max_steps - 1:
            values = {"train/loss": self._over_devices(loss), "train/kl": self._over_devices(kl)}
            self.curve.append({"step": step, **values})
            self.log("loss", values["train/loss"], prog_bar=True)
        return loss

    def _over_devices(self, value: torch.Tensor) -> float:
        reduced = self.trainer.strategy.reduce(value.detach().clone(), reduce_op="mean")
        assert isinstance(reduced, torch.Tensor)
        return reduced.item()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam; unless weights are averaged, its rate falls linearly to zero over the last half of training."""
        cfg = self.cfg
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=cfg.lr, eps=cfg.adam_eps, weight_decay=cfg.weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._lr_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _lr_factor(self, step: int) -> float:
        return 1.0 if self.cfg.averaged_share else min(1.0, 2 * (1 - step / self.cfg.max_steps))


class LateWeights(WeightAveraging):
    """The mean of the weights of the last steps, which the model has after training: rare items' vectors are noisy."""

    def __init__(self, first_step: int) -> None:
        """Average from ``first_step`` on."""
        super().__init__()
        self.first_step = first_step

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Whether the weights after a step, counted from 0, are part of the mean."""
        return step_idx is not None and step_idx >= self.first_step and step_idx % AVERAGE_EVERY == 0


class VAERecommender:
    """The VAE behind the interface of all CF models."""

    def __init__(self, cfg: VAEConfig, trainer: TrainerConfig) -> None:
        """Fit as ``cfg`` says, on the accelerator that ``trainer`` names."""
        self.cfg, self.trainer = cfg, trainer
        self.curve: list[dict[str, float]] = []

    def fit(self, matrix: sparse.csr_matrix, seed: int) -> None:
        """Learn from ``matrix``, [n_users, n_items]; on the CPU, the same seed gives the same bytes."""
        generator = torch.Generator().manual_seed(derive_seed(seed, "weights"))
        vae = VAE(matrix.shape[1], self.cfg, generator)
        module = VAEModule(vae, self.cfg, seed)
        batches = UserBatches(matrix, self.cfg.batch_size, self.cfg.max_steps, derive_seed(seed, "batches"))
        with quiet_lightning():
            trainer = lightning.Trainer(
                **self.trainer.devices_used,
                strategy=self.trainer.strategy,
                max_steps=self.cfg.max_steps,
                callbacks=self._callbacks(),
                enable_progress_bar=self.trainer.progress_bar,
                enable_checkpointing=False,
                enable_model_summary=False,
                logger=False,
                use_distributed_sampler=False,
            )
            if batches.batch_size < trainer.world_size:
                raise ConfigError(
                    f"A batch of {batches.batch_size} users is too small for {trainer.world_size} devices."
                )
            trainer.fit(module, DataLoader(batches, batch_size=None))
        self._vae, self._matrix, self.curve = vae.cpu().eval(), matrix, module.curve

    def _callbacks(self) -> list[lightning.Callback]:
        if not self.cfg.averaged_share:
            return []
        return [LateWeights(int((1 - self.cfg.averaged_share) * self.cfg.max_steps))]

    def user_scores(self, users: np.ndarray) -> np.ndarray:
        """Logits of all items for the given users, [b, n_items], from the mean of their latent distribution."""
        items, offsets = rows_of(self._matrix, users)
        return self._vae.logits(torch.from_numpy(items), torch.from_numpy(offsets)).numpy()

    def item_factors(self) -> Factors:
        """Weights of the decoder's last layer, and its bias (zero without)."""
        vectors = self._vae.item_vectors.detach().numpy().copy()
        bias = self._vae.item_bias
        return Factors(vectors, np.zeros(len(vectors), np.float32) if bias is None else bias.detach().numpy().copy())
