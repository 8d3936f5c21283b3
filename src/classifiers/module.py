"""The one training module: every method is phases of loss weights over the same step."""

from typing import Any

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.classifiers.checkpoints import check_definition
from src.classifiers.inputs import TrainingInputs
from src.classifiers.losses import label_loss, reconstruction_loss, squared_loss, triplet_loss
from src.classifiers.network import MultitaskNetwork
from src.classifiers.schedule import build_optimizer
from src.classifiers.settings import requirements
from src.config import ClassifierTrainingConfig
from src.data.transforms import color_augment
from src.errors import DataError
from src.evaluation.metrics import mean_average_precision
from src.runs import derive_seed

SELECTION_METRIC = "val/selection"
LABEL, AUXILIARY = "label", "auxiliary"


class MultitaskModule(lightning.LightningModule):
    """Fine-tunes a network on labels and, by the weights of the running phase, on CF vectors.

    Source: paper, eq. 3.
    """

    def __init__(
        self,
        cfg: ClassifierTrainingConfig,
        network: MultitaskNetwork,
        inputs: TrainingInputs,
        *,
        steps_per_epoch: int,
        definition_hash: str,
    ) -> None:
        """Wire a resolved config to its network and inputs; ``definition_hash`` ties checkpoints to this run."""
        super().__init__()
        self.network = network
        self.positive_weight: Tensor
        self.register_buffer("positive_weight", inputs.positive_weight, persistent=False)
        self.log_variance: nn.ParameterDict | None = None
        if cfg.method.task_weights == "learned":
            trained = (LABEL, AUXILIARY) if requirements(cfg).vectors else (LABEL,)
            self.log_variance = nn.ParameterDict({name: torch.zeros(()) for name in trained})
        self._cfg, self._inputs = cfg, inputs
        self.steps_per_epoch, self._definition_hash = steps_per_epoch, definition_hash
        self._sums: dict[str, Tensor] = {}
        self._val_metrics: dict[str, float] = {}
        self._val: list[tuple[Tensor, Tensor]] = []

    def configure_optimizers(self) -> Any:
        """One optimizer; its schedule advances by step and starts anew with each phase."""
        steps = self.steps_per_epoch * self._cfg.epochs
        optimizer, schedule = build_optimizer(self.parameters(), self._cfg.optimizer, float(self._cfg.lr or 0), steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        """Forget momentum where a phase begins."""
        self._sums = {}
        if self.current_epoch % self._cfg.epochs == 0:
            optimizer = self.optimizers()
            assert isinstance(optimizer, lightning.pytorch.core.optimizer.LightningOptimizer)
            optimizer.optimizer.state.clear()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Make dropout and its like a function of the step, so that a resumed run repeats an uninterrupted one."""
        torch.manual_seed(derive_seed(self._cfg.seed, "step", self._step(batch_idx), self.global_rank))

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Main loss plus alpha times auxiliary loss, by the weights of the running phase."""
        phase = self._cfg.method.phases[self.current_epoch // self._cfg.epochs]
        logits, cf_pred = self.network(self._augment(batch, self._step(batch_idx)))
        losses: dict[str, Tensor] = {}
        if phase.label:
            own = logits[: len(batch["targets"])]
            per_image = self._label_loss(own, batch["targets"])
            losses[LABEL] = phase.label * self._masked_mean(per_image, batch["target_weight"])
        if phase.auxiliary and cf_pred is not None:
            per_image = batch["confidence"] * self._auxiliary(cf_pred, batch)
            weight = phase.auxiliary * float(self._cfg.alpha or 0)
            losses[AUXILIARY] = weight * self._masked_mean(per_image, batch["has_cf_target"])
        loss = self._total(losses)
        if not torch.isfinite(loss):
            items = ", ".join(self._inputs.item_id[batch["item"].cpu().numpy()])
            raise DataError(
                f"The loss is {loss.item()} in epoch {self.current_epoch}, batch {batch_idx}; the last good checkpoint "
                f"is kept. Lower lr or alpha, or set gradient_clip=1. The batch's items: {items}."
            )
        for name, value in {"loss": loss, **{f"{name}_loss": value for name, value in losses.items()}}.items():
            self._sums[name] = self._sums.get(name, torch.zeros((), device=loss.device)) + value.detach()
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Keep the logits of a batch of centre crops."""
        logits, _ = self.network(self._lay_out(batch["images"].float() / 255))
        loader: Any = self.trainer.val_dataloaders
        width = loader.dataset.batch_size - len(logits)
        self._val.append((F.pad(logits.float(), (0, 0, 0, width)), F.pad(batch["index"], (0, width), value=-1)))

    def on_validation_epoch_end(self) -> None:
        """Compute loss and, for classes, mAP over the whole validation set, gathered from all devices."""
        n_classes = self._inputs.val_targets.shape[1]
        logits = self._gather(torch.cat([logits for logits, _ in self._val])).reshape(-1, n_classes)
        index = self._gather(torch.cat([index for _, index in self._val])).reshape(-1)
        self._val = []
        scores = torch.zeros(len(self._inputs.val_targets), n_classes, device=logits.device)
        scores[index[index >= 0]] = logits[index >= 0]
        targets = torch.from_numpy(self._inputs.val_targets).to(scores)
        loss = self._label_loss(scores, targets).mean().item()
        if self._inputs.target_scale is None:
            value = mean_average_precision(self._inputs.val_targets, scores.cpu().numpy())
            self._val_metrics = {"val/mAP": value, "val/loss": loss}
        else:
            value = 1 / (1 + loss)  # better where the error is smaller, and above 0
            self._val_metrics = {"val/loss": loss}
        phase = self._cfg.method.phases[self.current_epoch // self._cfg.epochs]
        self.log(SELECTION_METRIC, value if phase.selects and np.isfinite(value) else 0.0, rank_zero_only=True)

    def curve_row(self) -> dict[str, float]:
        """One row of learning curves: the ending epoch's mean training losses, validation mAP and loss."""
        means = {name: self._mean_over_devices(total) / self.steps_per_epoch for name, total in self._sums.items()}
        train = {f"train/{name}": mean.item() for name, mean in means.items()}
        lr = self.trainer.optimizers[0].param_groups[0]["lr"]
        learned = [] if self.log_variance is None else self.log_variance.items()
        precision = {f"weight/{name}": (-value).exp().item() for name, value in learned}
        return {"epoch": self.current_epoch, **train, **self._val_metrics, **precision, "lr": lr}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Tie the checkpoint to this run's definition."""
        checkpoint["definition_hash"] = self._definition_hash

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another run."""
        check_definition(checkpoint, self._definition_hash)

    def _label_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Main loss of logits and targets [B, N], unweighted, [B]."""
        if self._inputs.target_scale is not None:
            return squared_loss(logits, targets)
        return label_loss(logits, targets, self.positive_weight, self._cfg.loss)

    def _total(self, losses: dict[str, Tensor]) -> Tensor:
        """Sum of the losses; with learned weights each times its precision exp(-s), plus s.

        Source: Kendall, Gal and Cipolla, Multi-task learning using uncertainty to weigh losses, 2018.
        """
        if self.log_variance is not None:
            pairs = [(loss, self.log_variance[name]) for name, loss in losses.items()]
            return torch.stack([(-log_variance).exp() * loss + log_variance for loss, log_variance in pairs]).sum()
        return torch.stack(list(losses.values())).sum()

    def _step(self, batch_idx: int) -> int:
        return self.current_epoch * self.steps_per_epoch + batch_idx

    def _augment(self, batch: dict[str, Any], step: int) -> Tensor:
        """Colour augmentation on the device: labelled images draw from a generator of their own."""
        images = batch["images"]
        parts = images.split([batch["n_labelled_images"], len(images) - batch["n_labelled_images"]])
        augmented = []
        for name, part in zip(("labelled", "others"), parts, strict=True):
            seed = derive_seed(self._cfg.seed, "color", name, step, self.global_rank)
            if len(part):
                augmented.append(color_augment(part, self._cfg.augmentation, torch.Generator().manual_seed(seed)))
        return self._lay_out(torch.cat(augmented))

    def _lay_out(self, images: Tensor) -> Tensor:
        """Images in the memory layout that convolutions like best."""
        layout = torch.channels_last if self._cfg.trainer.channels_last else torch.contiguous_format
        return images.contiguous(memory_format=layout)

    def _auxiliary(self, cf_pred: Tensor, batch: dict[str, Any]) -> Tensor:
        """Unweighted auxiliary loss of the batch's items, [M']."""
        n_items = len(batch["cf_target"])
        if self._cfg.method.auxiliary_loss == "reconstruction":
            return reconstruction_loss(cf_pred[:n_items], batch["cf_target"], self._cfg.loss.distance)
        anchor, positive = cf_pred[:n_items], cf_pred[n_items:]
        negative = anchor.roll(1, dims=0)  # items are drawn at random, so a neighbour in the batch is a random item
        return triplet_loss(anchor, positive, negative, self._cfg.loss.triplet_margin)

    def _gather(self, values: Tensor) -> Tensor:
        """``values`` of all devices, stacked in front where there are several."""
        gathered = self.all_gather(values)
        assert isinstance(gathered, Tensor)
        return gathered

    def _masked_mean(self, values: Tensor, mask: Tensor) -> Tensor:
        """Mean over the images of all devices, weighted by ``mask``; 0 where all weights are 0."""
        weight = mask.to(values)
        count = self._mean_over_devices(weight.sum())
        return (values * weight).sum() / count.clamp(min=torch.finfo(torch.float32).eps)

    def _mean_over_devices(self, value: Tensor) -> Tensor:
        if self.trainer.world_size == 1:
            return value
        reduced = self.trainer.strategy.reduce(value.clone(), reduce_op="mean")
        assert isinstance(reduced, Tensor)
        return reduced
