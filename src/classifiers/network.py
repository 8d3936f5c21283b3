"""The multitask network: shared backbone, label head, CF head."""

from typing import Self

import torch
from torch import Tensor, nn

from src.classifiers.backbones import build_backbone
from src.classifiers.depthwise import speed_up_depthwise
from src.classifiers.freezing import freeze_stages
from src.config import BackboneConfig
from src.runs import derive_seed

CF_HIDDEN_SIZE = 128


class MultitaskNetwork(nn.Module):
    """A backbone with a linear label head and, where a method trains it, a CF head.

    Each part is initialised from its own seed, so the label head of a method does not depend on whether it has a CF
    head.

    Source: paper, section 3.4 and figure 1.
    """

    def __init__(
        self, cfg: BackboneConfig, n_classes: int, cf_size: int | None, seed: int, target_scale: Tensor | None = None
    ) -> None:
        """Build the network.

        Args:
            cfg: The backbone.
            n_classes: N, labels or, for regression, targets.
            cf_size: Length of a CF target; None for a network without CF head.
            seed: Of the initial weights.
            target_scale: For regression, mean and deviation of each target, [2, N].
        """
        super().__init__()
        with seeded(derive_seed(seed, "backbone")):
            self.backbone, n_features = build_backbone(cfg)
            speed_up_depthwise(self.backbone)
        self._frozen = freeze_stages(self.backbone, cfg.frozen_stages)
        with seeded(derive_seed(seed, "label head")):
            self.label_head = nn.Linear(n_features, n_classes)
        with seeded(derive_seed(seed, "cf head")):
            self.cf_head = None if cf_size is None else build_cf_head(n_features, cf_size)
        self.target_scale: Tensor | None
        self.register_buffer("target_scale", target_scale)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(cfg.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(cfg.std).view(1, 3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; frozen stages stay in evaluation mode, so that their batch statistics stay too."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Classify images.

        Args:
            images: [B, 3, H, W], 0 to 1.

        Returns:
            Logits [B, N] and predicted CF vectors [B, f], or None without CF head.
        """
        features = self.features(images)
        return self.label_head(features), None if self.cf_head is None else self.cf_head(features)

    def scores(self, logits: Tensor) -> Tensor:
        """What logits [B, N] say of each label: its probability, or for regression its value."""
        if self.target_scale is None:
            return logits.float().sigmoid()
        return logits.float() * self.target_scale[1] + self.target_scale[0]

    def features(self, images: Tensor) -> Tensor:
        """Backbone features of images [B, 3, H, W], 0 to 1: [B, n_features]."""
        result: Tensor = self.backbone((images - self.mean) / self.std)
        return result


def build_cf_head(n_features: int, cf_size: int) -> nn.Sequential:
    """BatchNorm, Linear, BatchNorm, ReLU, Linear: features [B, n_features] to CF vectors [B, cf_size]."""
    return nn.Sequential(
        nn.BatchNorm1d(n_features),
        nn.Linear(n_features, CF_HIDDEN_SIZE),
        nn.BatchNorm1d(CF_HIDDEN_SIZE),
        nn.ReLU(),
        nn.Linear(CF_HIDDEN_SIZE, cf_size),
    )


class seeded:  # noqa: N801 - reads as a statement: with seeded(3):
    """Run a block with torch's global generator seeded, and restore it afterwards."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __enter__(self) -> None:
        """Remember the generator's state and seed it."""
        self._state = torch.get_rng_state()
        torch.manual_seed(self._seed)

    def __exit__(self, *_: object) -> None:
        """Restore the generator's state."""
        torch.set_rng_state(self._state)
