"""Schemas of backbones, methods, losses, augmentation, optimizers and trainers."""

import sys
from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from src.config.setting import CHANGED, option, setting
from src.config.store import schema


@schema("backbone", "backbone")
@dataclass
class BackboneConfig:
    """An image network and its ImageNet weights."""

    name: str = setting(MISSING, "shown in tables and directory names")
    source: str = setting(MISSING, "the library that builds it", choices="timm | torchvision")
    architecture: str = setting(MISSING, "the library's name of the network")
    weights: str | None = setting(None, "the library's name, package, a .pth or .safetensors path, or null: random")
    mean: list[float] | None = setting(None, "of pixels, 0 to 1, one a channel; null: as the weights were trained on")
    std: list[float] | None = setting(None, "their standard deviation; null: also", within="(0, inf)")
    frozen_stages: int = setting(0, "first stages that keep their weights: faster, less to overfit", within="[0, inf)")


@dataclass
class ConfidenceConfig:
    """Weight omega of each CF vector in the auxiliary loss (paper, section 3.4)."""

    scheme: str = setting("uniform", "what h is made of", choices="uniform | interaction | loss")
    bound: str = setting("quantile", "quantile: min(h, Omega)", choices="quantile | quartile_rescale | none")
    omega: float | None = setting(None, "Omega; null: the omega_quantile of h", within="(0, inf)")
    omega_quantile: float = setting(0.75, "quantile of h that is Omega", within="[0, 1]")


@dataclass
class PhaseConfig:
    """A stretch of training with fixed loss weights; each phase starts with a fresh optimizer and schedule."""

    label: float = setting(1.0, "weight of the main loss", within="[0, inf)")
    auxiliary: float = setting(0.0, "weight of the auxiliary loss, beside alpha", within="[0, inf)")
    selects: bool = setting(True, "whether the best epoch may come from this phase")


@dataclass
class SearchConfig:
    """Where tuning may look for a setting: a range, or some choices."""

    low: float | None = option(None, "lower end of the range")
    high: float | None = option(None, "upper end of the range")
    log: bool = option(False, "whether to search the range by its logarithm")
    choices: list[Any] | None = option(None, "values, in place of a range")


SEARCH = {
    "lr": SearchConfig(low=2e-4, high=3e-2, log=True),
    "steps": SearchConfig(choices=[150, 300, 600, 1200]),
    "hidden_size": SearchConfig(choices=[0, 512, 1024]),
    "dropout": SearchConfig(choices=[0.0, 0.2, 0.5, 0.8]),
}
"""What every method searches, beside its own weight."""


@schema("method", "method")
@dataclass
class MethodConfig:
    """A training method: phases of loss weights, and where targets come from."""

    name: str = setting(MISSING, "shown in tables and directory names")
    phases: list[PhaseConfig] = setting([PhaseConfig()], "phases of training, one after the other")
    auxiliary_loss: str = setting("reconstruction", "of the CF head", choices="reconstruction | contrastive")
    confidence: ConfidenceConfig = setting(ConfidenceConfig, "how much each CF vector counts")
    soft_labels: str | None = setting(None, "source of soft labels", choices="cf2label | image_only | both")
    vectors: str = setting(
        "cf",
        "of the CF model, or a control's: permuted across items, normal",
        choices="cf | shuffled | random",
    )
    prior_users: float | None = setting(
        None,
        "users that the image's prediction of an item's vector weighs; null: no such prior",
        within="(0, inf)",
        names_run=CHANGED,
    )
    alpha: float = setting(0.0, "default where neither the command nor tuning sets it", within="[0, inf)")
    distill_lambda: float = setting(0.0, "default where neither the command nor tuning sets it", within="[0, 1]")
    planted_errors: float = setting(0.0, "of label_issues: label sets exchanged", within="[0, 1)", names_run=CHANGED)
    tuned_as: str | None = option(None, "train with the settings tuned for this method, unless it has its own")
    trials: list[dict[str, Any]] = option([], "settings that tuning tries, unless it searches")
    search: dict[str, SearchConfig] = option(SEARCH, "where tuning with n_trials searches")


@dataclass
class LossConfig:
    """Choices where the paper and the original code differ; the paper is the default."""

    class_weighting: str = setting("normalized_inverse", "of positives", choices="normalized_inverse | balanced | none")
    distance: str = setting("paper", "between CF vectors; squared: the original code's", choices="paper | squared")
    triplet_margin: float = setting(0.2, "tau of the contrastive loss", within="[0, inf)")
    use_bias: bool = setting(False, "the item bias as one more dimension of the CF target")


@dataclass
class AugmentationConfig:
    """Training augmentation as the original's."""

    scale: list[float] = setting([0.08, 1.0], "area of a random crop, share of the image", within="(0, 1]")
    ratio: list[float] = setting([0.75, 1.3333], "width to height of a random crop", within="(0, inf)")
    horizontal_flip: float = setting(0.5, "probability", within="[0, 1]")
    brightness: float = setting(0.1, "largest relative change", within="[0, inf)")
    contrast: float = setting(0.1, "largest relative change", within="[0, inf)")
    saturation: float = setting(0.1, "largest relative change", within="[0, inf)")
    hue: float = setting(0.1, "largest change, in turns", within="[0, 0.5]")
    grayscale: float = setting(0.1, "probability", within="[0, 1]")


@schema("optimizer", "sgd_multistep")
@dataclass
class SGDMultistepConfig:
    """SGD with the learning rate divided at milestones (the original's)."""

    name: str = setting("sgd_multistep", "of the optimizer and its schedule", choices="sgd_multistep")
    lr: float = setting(0.1, "peak learning rate where neither the command nor tuning sets lr", within="(0, inf)")
    weight_decay: float = setting(1e-5, "of all weights", within="[0, inf)")
    momentum: float = setting(0.0, "SGD's", within="[0, 1)")
    milestones: list[float] = setting([0.65, 0.99], "shares of a phase after which the rate falls", within="[0, 1]")
    gamma: float = setting(0.1, "factor of the rate at each milestone", within="(0, 1]")


@schema("optimizer", "adamw_cosine")
@dataclass
class AdamWCosineConfig:
    """AdamW with a linear warm-up and a cosine decay to zero."""

    name: str = setting("adamw_cosine", "of the optimizer and its schedule", choices="adamw_cosine")
    lr: float = setting(1e-3, "peak learning rate where neither the command nor tuning sets lr", within="(0, inf)")
    weight_decay: float = setting(0.05, "of matrices and kernels", within="[0, inf)")
    warmup: float = setting(0.1, "share of a phase", within="[0, 1)")


@schema("trainer", "trainer")
@dataclass
class TrainerConfig:
    """Where and how training runs; nothing here changes a result's definition."""

    accelerator: str = option("auto", "what computes", choices="auto | cpu | gpu | cuda | mps | tpu")
    devices: int | None = option(None, "how many; null: all", within="[1, inf)")
    num_nodes: int = option(1, "machines", within="[1, inf)")
    strategy: str = option(
        "auto", "how devices work together", choices="auto | ddp | ddp_find_unused_parameters_true | ddp_spawn"
    )
    num_workers: int = option(0, "processes that make batches beside the training process", within="[0, inf)")
    compile: bool = option(False, "compile the backbone with torch.compile")
    progress_bar: bool = option(True, "show progress: a bar, and where the output is redirected, a line a minute")

    @property
    def shows_progress(self) -> bool:
        """Whether to show progress: it is wanted, and nothing is redirected (Lightning's bar goes to stdout)."""
        return self.progress_bar and sys.stderr.isatty() and sys.stdout.isatty()

    @property
    def devices_used(self) -> dict[str, Any]:
        """Device arguments of Lightning's trainer."""
        return {"accelerator": self.accelerator, "devices": self.devices or "auto", "num_nodes": self.num_nodes}
