"""Training of the VAE: a Lightning loop over a fixed number of batches of users."""

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from scipy import sparse
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from src.config.classifiers import TrainerConfig
from src.console import progress_of_steps, quiet_lightning
from src.errors import ConfigError
from src.randomness import ShuffledPasses, derive_seed
from src.recommenders.base import Factors
from src.recommenders.interactions import rows_of
from src.recommenders.vae.network import VAE, kl_divergence
from src.recommenders.vae.settings import VAESettings

LOG_EVERY = 20

Batch = tuple[Tensor, Tensor, int]


class UserBatches(Dataset[Batch]):
    """Batch of each step, all of one size: items one user after another, offsets, and the step.

    Batches may straddle two passes over the users; users without interactions are left out.
    """

    def __init__(self, matrix: sparse.csr_matrix, batch_size: int, n_steps: int, seed: int) -> None:
        """Draw the order of users from ``seed`` alone."""
        self.matrix, self.n_steps = matrix, n_steps
        users = np.flatnonzero(np.diff(matrix.indptr))
        self.batch_size = min(batch_size, len(users))
        self._users = ShuffledPasses(users, seed)

    def __len__(self) -> int:
        return self.n_steps

    def __getitem__(self, step: int) -> Batch:
        users = self._users.take(step * self.batch_size, self.batch_size)
        items, offsets = rows_of(self.matrix, users)
        return torch.from_numpy(items), torch.from_numpy(offsets), step


class VAEModule(lightning.LightningModule):
    """One optimizer step a batch: multinomial likelihood plus the weighted KL term."""

    def __init__(self, vae: VAE, cfg: VAESettings, seed: int, kept: tuple[np.ndarray, Factors] | None = None) -> None:
        """Train ``vae``; noise of step s depends on ``seed`` and s alone; ``kept`` as of ``fit_vae``."""
        super().__init__()
        self.vae, self.cfg, self.seed, self.kept = vae, cfg, seed, kept
        self.curve: list[dict[str, float]] = []

    @torch.no_grad()
    def on_train_batch_start(self, *_: object) -> None:
        """Undo what the step before changed in vectors to keep."""
        if self.kept is not None:
            columns, factors = self.kept
            for weights, values in ((self.vae.item_vectors, factors.vectors), (self.vae.item_bias, factors.bias)):
                if weights is not None:
                    weights[columns] = torch.from_numpy(values).to(weights)

    on_train_end = on_train_batch_start

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch, a scalar; with several devices, of this one's share of its users.

        Random numbers are drawn for the whole batch, so that several devices learn what one would. Each device draws
        its own sampled items.
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
        loss: Tensor = likelihood_loss + self.cfg.beta * kl
        if n_ranks > 1:  # gradients are averaged over devices, whose shares may differ by a user
            share = len(noise) * n_ranks / n_users
            loss, kl = loss * share, kl * share
        if step % LOG_EVERY == 0 or step == self.cfg.max_steps - 1:
            values = {"train/loss": self._over_devices(loss), "train/kl": self._over_devices(kl)}
            self.curve.append({"step": step, **values})
            self.log("loss", values["train/loss"], prog_bar=True)
        return loss

    def _over_devices(self, value: Tensor) -> float:
        reduced = self.trainer.strategy.reduce(value.detach().clone(), reduce_op="mean")
        assert isinstance(reduced, Tensor)
        return reduced.item()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam; its rate falls linearly to zero over the last half of training."""
        cfg = self.cfg
        optimizer = torch.optim.AdamW(
            self.parameters(), cfg.lr, eps=cfg.adam_eps, weight_decay=cfg.weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, 2 * (1 - step / cfg.max_steps)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def fit_vae(
    matrix: sparse.csr_matrix,
    cfg: VAESettings,
    devices: TrainerConfig,
    seed: int,
    kept: tuple[np.ndarray, Factors] | None = None,
) -> tuple[VAE, list[dict[str, float]]]:
    """Fit a VAE on ``matrix``, [n_users, n_items]; returns it on the CPU in evaluation mode, and its curve.

    ``kept`` has columns of ``matrix``, [k], and the vectors and biases that their items have from first to last.

    Raises:
        ConfigError: A batch has fewer users than there are devices, or the devices cannot be used.
    """
    vae = VAE(matrix.shape[1], cfg, torch.Generator().manual_seed(derive_seed(seed, "weights")))
    module = VAEModule(vae, cfg, seed, kept)
    batches = UserBatches(matrix, cfg.batch_size, cfg.max_steps, derive_seed(seed, "batches"))
    with quiet_lightning():
        trainer = lightning.Trainer(
            **devices.devices_used,
            strategy=devices.strategy,
            max_steps=cfg.max_steps,
            enable_progress_bar=devices.shows_progress,
            callbacks=progress_of_steps(devices),
            enable_checkpointing=False,
            enable_model_summary=False,
            logger=False,
            use_distributed_sampler=False,
        )
        if batches.batch_size < trainer.world_size:
            raise ConfigError(
                f"Expected at least one user for each of {trainer.world_size} devices, but a batch has "
                f"{batches.batch_size}; lower trainer.devices, or raise recommender.batch_size."
            )
        trainer.fit(module, DataLoader(batches, batch_size=None))
    return vae.cpu().eval(), module.curve
