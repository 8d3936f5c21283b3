"""The multitask network: a backbone and the heads on its features."""

from typing import Self

import torch
from torch import Tensor, nn

from src.classifiers.models.backbones import build_backbone
from src.classifiers.models.freezing import freeze_stages
from src.classifiers.models.heads import Heads
from src.config.classifiers import BackboneConfig
from src.randomness import derive_seed


class ImageFeatures(nn.Module):
    """A backbone with normalisation: pixels to features."""

    def __init__(self, cfg: BackboneConfig, image_size: int, seed: int = 0) -> None:
        """Build the network that ``cfg`` names; ``seed`` is for random initial weights."""
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "backbone"))
            self.backbone, self.n_features, normalisation = build_backbone(cfg, image_size)
        self._frozen = freeze_stages(self.backbone, cfg.frozen_stages)
        self.mean: Tensor
        self.std: Tensor
        for name, values in normalisation._asdict().items():
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1))

    def train(self, mode: bool = True) -> Self:
        """Set the mode; frozen stages stay in evaluation mode, so their batch statistics do not change."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Features [B, n_features] of images [B, 3, H, W], 0 to 1."""
        return self.backbone((images - self.mean) / self.std)

    def views(self, images: Tensor, n_views: int) -> Tensor:
        """Features [B, V, n_features] of images uint8 [B, 3, H, W]; the second view is mirrored."""
        images = images.to(self.mean.dtype, memory_format=torch.channels_last).div(255)
        return torch.stack([self(view) for view in (images, images.flip(-1))[:n_views]], dim=1)


class MultitaskNetwork(nn.Module):
    """Images or frozen features to logits and CF vectors; logits of several views are averaged."""

    def __init__(self, image_features: ImageFeatures | None, heads: Heads, n_views: int = 1) -> None:
        """Combine the parts; without ``image_features`` inputs are frozen features."""
        super().__init__()
        self.image_features, self.heads, self.n_views = image_features, heads, n_views

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits [B, N] and predicted CF targets [B, f] or None, of images [B, 3, H, W] or features [B, F]."""
        return self.heads(inputs if self.image_features is None else self.image_features(inputs))

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return self.heads.label_head.linear.weight.dtype

    def logits(self, inputs: Tensor) -> Tensor:
        """Logits [B, N] of images uint8 [B, 3, H, W], or of features [B, V, F] of all views."""
        return self.logits_of(self.features(inputs))

    def logits_of(self, features: Tensor) -> Tensor:
        """Logits [B, N], averaged over views, of features [B, V, F]."""
        return self.heads(features.flatten(0, 1))[0].unflatten(0, features.shape[:2]).mean(dim=1)

    def features(self, inputs: Tensor) -> Tensor:
        """Features [B, V, F] of images uint8 [B, 3, H, W] in all views, or frozen ones as they are."""
        return inputs.to(self.dtype) if self.image_features is None else self.image_features.views(inputs, self.n_views)
