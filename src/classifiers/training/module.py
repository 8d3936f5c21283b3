"""The training module of all methods, which differ in their phases of loss weights."""

from typing import Any

import lightning
import torch
import torch.nn.functional as F
from torch import Tensor

from src.classifiers.losses import reconstruction_loss, triplet_loss
from src.classifiers.models.checkpoints import check_definition
from src.classifiers.models.evaluation_batches import average
from src.classifiers.models.network import MultitaskNetwork
from src.classifiers.targets.inputs import TrainingInputs
from src.classifiers.task import Task
from src.classifiers.training.schedule import build_optimizer
from src.config.classifiers import PhaseConfig
from src.config.stages import ClassifierTrainingConfig
from src.data.images.transforms import color_augment
from src.errors import DataError
from src.randomness import derive_seed

SELECTION_METRIC = "val/selection"


class MultitaskModule(lightning.LightningModule):
    """Fine-tunes a network on labels and CF vectors, weighted by the current phase.

    Source: paper, eq. 3.
    """

    def __init__(
        self,
        cfg: ClassifierTrainingConfig,
        network: MultitaskNetwork,
        inputs: TrainingInputs,
        task: Task,
        *,
        steps_per_epoch: int,
        definition_hash: str,
    ) -> None:
        """Train ``network`` by a resolved config; checkpoints carry ``definition_hash``, which names the run."""
        super().__init__()
        self.network = network
        self.positive_weight: Tensor
        self.register_buffer("positive_weight", inputs.positive_weight, persistent=False)
        self._cfg, self._inputs, self._task = cfg, inputs, task
        self.steps_per_epoch, self._definition_hash = steps_per_epoch, definition_hash
        self._sums: dict[str, Tensor] = {}
        self._val_metrics: dict[str, float] = {}
        self._val: list[tuple[Tensor, Tensor]] = []

    def configure_optimizers(self) -> Any:
        """One optimizer; its schedule advances by step and restarts with each phase."""
        steps = self.steps_per_epoch * self._cfg.epochs
        optimizer, schedule = build_optimizer(self.parameters(), self._cfg.optimizer, float(self._cfg.lr or 0), steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        """Reset the optimizer's state at the start of each phase."""
        self._sums = {}
        if self.current_epoch % self._cfg.epochs == 0:
            optimizer = self.optimizers()
            assert isinstance(optimizer, lightning.pytorch.core.optimizer.LightningOptimizer)
            optimizer.optimizer.state.clear()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout by step, so that a resumed run repeats an uninterrupted one."""
        seed = derive_seed(self._cfg.seed, "step", self._step(batch_idx), self.global_rank)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed formats a stack at each call where CUDA is idle
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Main loss plus alpha times auxiliary loss, weighted by the current phase."""
        phase = self._phase
        logits, cf_pred = self.network(self._network_inputs(batch, self._step(batch_idx)))
        logits = logits.float()
        losses: dict[str, Tensor] = {}
        if phase.label:
            per_image = self._task.loss(logits[: len(batch["targets"])], batch["targets"], self.positive_weight)
            losses["label"] = phase.label * self._masked_mean(per_image, batch["target_weight"])
        if phase.auxiliary and cf_pred is not None:
            per_image = batch["confidence"] * self._auxiliary(cf_pred.float(), batch)
            weight = phase.auxiliary * float(self._cfg.alpha or 0)
            losses["auxiliary"] = weight * self._masked_mean(per_image, batch["has_cf_target"])
        loss = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(loss):
            items = ", ".join(self._inputs.item_id[batch["item"].cpu().numpy()])
            raise DataError(
                f"The loss is {loss.item()} in epoch {self.current_epoch}, batch {batch_idx}; the last good checkpoint "
                f"is kept. Lower lr or alpha, or set gradient_clip=1. The batch's items: {items}."
            )
        for name, value in {"loss": loss, **{f"{name}_loss": value for name, value in losses.items()}}.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(loss)) + value.detach()
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Store the logits of a batch."""
        logits = self.network.logits(batch["inputs"])
        loader: Any = self.trainer.val_dataloaders
        width = loader.dataset.batch_size - len(logits)
        self._val.append((F.pad(logits.float(), (0, 0, 0, width)), F.pad(batch["index"], (0, width), value=-1)))

    def on_validation_epoch_end(self) -> None:
        """Compute the task's metrics over the whole validation set, from all devices."""
        n_classes = self._inputs.val_targets.shape[1]
        gather: Any = self.all_gather
        logits = gather(torch.cat([logits for logits, _ in self._val])).reshape(-1, n_classes)
        index = gather(torch.cat([index for _, index in self._val])).reshape(-1)
        self._val = []
        scores = average(logits[index >= 0], index[index >= 0], len(self._inputs.val_targets))
        targets = torch.from_numpy(self._inputs.val_targets).to(scores)
        loss = self._task.loss(scores, targets, self.positive_weight).mean().item()
        self._val_metrics, value = self._task.validate(self._inputs.val_targets, scores.cpu().numpy(), loss)
        self.log(SELECTION_METRIC, value if self._phase.selects else 0.0, rank_zero_only=True)

    def curve_row(self) -> dict[str, float]:
        """The epoch's row of the learning curves: mean training losses, validation metrics, learning rate."""
        means = {name: self._mean_over_devices(total) / self.steps_per_epoch for name, total in self._sums.items()}
        train = {f"train/{name}": mean.item() for name, mean in means.items()}
        lr = self.trainer.optimizers[0].param_groups[0]["lr"]
        return {"epoch": self.current_epoch, **train, **self._val_metrics, "lr": lr}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the run's definition."""
        checkpoint["definition_hash"] = self._definition_hash

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another run."""
        check_definition(checkpoint, self._definition_hash)

    @property
    def _phase(self) -> PhaseConfig:
        return self._cfg.method.phases[self.current_epoch // self._cfg.epochs]

    def _step(self, batch_idx: int) -> int:
        return self.current_epoch * self.steps_per_epoch + batch_idx

    def _network_inputs(self, batch: dict[str, Any], step: int) -> Tensor:
        """Frozen features, or crops with changed colours; labelled images have a generator of their own."""
        inputs = batch["inputs"]
        if self.network.image_features is None:
            return inputs.to(self.network.dtype)
        parts = inputs.split([batch["n_labelled_images"], len(inputs) - batch["n_labelled_images"]])
        augmented = []
        for name, part in zip(("labelled", "others"), parts, strict=True):
            seed = derive_seed(self._cfg.seed, "color", name, step, self.global_rank)
            if len(part):
                augmented.append(color_augment(part, self._cfg.augmentation, torch.Generator().manual_seed(seed)))
        return torch.cat(augmented).to(self.network.dtype, memory_format=torch.channels_last)

    def _auxiliary(self, cf_pred: Tensor, batch: dict[str, Any]) -> Tensor:
        """Unweighted auxiliary loss of the batch's items, [M']."""
        n_items = len(batch["cf_target"])
        if self._cfg.method.auxiliary_loss == "reconstruction":
            return reconstruction_loss(cf_pred[:n_items], batch["cf_target"], self._cfg.loss.distance)
        anchor, positive = cf_pred[:n_items], cf_pred[n_items:]
        negative = anchor.roll(1, dims=0)  # items are in random order, so the neighbour is a random item
        return triplet_loss(anchor, positive, negative, self._cfg.loss.triplet_margin)

    def _masked_mean(self, values: Tensor, mask: Tensor) -> Tensor:
        """Mean over the images of all devices, weighted by ``mask``; 0 if all weights are 0."""
        weight = mask.to(values)
        count = self._mean_over_devices(weight.sum())
        return (values * weight).sum() / count.clamp(min=torch.finfo(torch.float32).eps)

    def _mean_over_devices(self, value: Tensor) -> Any:
        return self.trainer.strategy.reduce(value.clone(), reduce_op="mean")
