"""Schemas of backbones, methods, losses, augmentation, optimizers and trainers."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


@dataclass
class BackboneConfig:
    """An image network and its ImageNet weights."""

    name: str = MISSING  # shown in tables and directory names
    source: str = MISSING  # torchvision | timm
    architecture: str = MISSING
    weights: str | None = None  # the source's name of weights, "package", a local .pth/.safetensors path, or null
    mean: list[float] = field(default_factory=lambda: [0.485, 0.456, 0.406])
    std: list[float] = field(default_factory=lambda: [0.229, 0.224, 0.225])
    frozen_stages: int = 0  # first stages that keep their weights: faster, and less to overfit


@dataclass
class ConfidenceConfig:
    """Weight omega of each CF vector in the auxiliary loss (paper, section 3.4)."""

    scheme: str = "uniform"  # uniform | interaction | loss
    bound: str = "quantile"  # quantile: min(h, Omega) | quartile_rescale: the original code's | none
    omega: float | None = None  # Omega; null: the omega_quantile of h
    omega_quantile: float = 0.75
    unlabelled: str = "mean"  # h of items without labels, scheme loss: mean of the others | expected under CF2Label


@dataclass
class PhaseConfig:
    """A stretch of training with fixed loss weights; each phase starts with a fresh optimizer and schedule."""

    label: float = 1.0  # weight of the main loss
    auxiliary: float = 0.0  # weight of the auxiliary loss
    selects: bool = True  # whether the best epoch may come from this phase


@dataclass
class SearchConfig:
    """Where tuning may look for a setting: a range, or some choices."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: list[Any] | None = None


@dataclass
class MethodConfig:
    """A training method: phases of loss weights, and where targets come from."""

    name: str = MISSING
    phases: list[PhaseConfig] = field(default_factory=lambda: [PhaseConfig()])
    auxiliary_loss: str = "reconstruction"  # reconstruction | contrastive
    confidence: ConfidenceConfig = field(default_factory=ConfidenceConfig)
    task_weights: str = "fixed"  # fixed: 1 and alpha | learned: these times each loss's learned precision
    soft_labels: str | None = None  # cf2label | image_only | both (their log odds' mean): whose probabilities are mixed
    # with labels by distill_lambda, and are the targets where labels miss
    temperature: float = 1.0  # above 1 softens these probabilities
    soft_weight: str = "none"  # how much a target made of them alone counts: none (1) | certainty | n_users
    vectors: str = "cf"  # cf | shuffled (permuted across items) | random (standard normal): controls
    alpha: float = 0.0  # default where neither the command nor tuning sets alpha
    distill_lambda: float = 0.0  # likewise
    tuned_as: str | None = None  # trains with the settings tuned for this method, unless it has its own
    trials: list[dict[str, Any]] = field(default_factory=list)  # settings that tuning tries
    search: dict[str, SearchConfig] = field(default_factory=dict)  # and with n_trials goes on to search


@dataclass
class LossConfig:
    """Choices where the paper and the original code differ; the paper is the default."""

    class_weighting: str = "normalized_inverse"  # normalized_inverse (paper) | balanced (original code) | none
    label: str = "cross_entropy"  # cross_entropy (paper) | asymmetric: easy negatives count less, for rare labels
    gamma_positive: float = 0.0  # focusing exponents and margin of the asymmetric loss
    gamma_negative: float = 4.0
    probability_margin: float = 0.05
    distance: str = "paper"  # paper | squared (original code)
    triplet_margin: float = 0.2
    use_bias: bool = False  # the item bias as one more dimension of the CF target


@dataclass
class AugmentationConfig:
    """Training augmentation as the original's."""

    scale: list[float] = field(default_factory=lambda: [0.08, 1.0])  # area of a random crop, share of the image
    ratio: list[float] = field(default_factory=lambda: [0.75, 1.3333])  # width to height of a random crop
    horizontal_flip: float = 0.5
    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.1
    hue: float = 0.1
    grayscale: float = 0.1


@dataclass
class OptimizerConfig:
    """What every optimizer has."""

    name: str = MISSING
    lr: float = MISSING
    weight_decay: float = 1e-5


@dataclass
class SGDMultistepConfig(OptimizerConfig):
    """SGD with the learning rate divided at milestones (the original's)."""

    name: str = "sgd_multistep"
    lr: float = 0.1
    momentum: float = 0.0
    milestones: list[float] = field(default_factory=lambda: [0.65, 0.99])  # shares of a phase
    gamma: float = 0.1


@dataclass
class AdamWCosineConfig(OptimizerConfig):
    """AdamW with a linear warm-up and a cosine decay to zero."""

    name: str = "adamw_cosine"
    lr: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.1  # share of a phase


@dataclass
class TrainerConfig:
    """Where and how training runs; nothing here changes a result's definition."""

    accelerator: str = "auto"
    devices: str = "auto"
    num_nodes: int = 1
    strategy: str = "auto"
    num_workers: int = 0
    channels_last: bool = True
    compile: bool = False
    progress_bar: bool = True

    @property
    def devices_used(self) -> dict[str, Any]:
        """What Lightning's trainer is told of devices."""
        devices = self.devices if self.devices == "auto" else int(self.devices)
        return {"accelerator": self.accelerator, "devices": devices, "num_nodes": self.num_nodes}
