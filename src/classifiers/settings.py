"""A composed config's settings: those that tuning chose, and what its method needs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from src.config.setting import check, flat, identity, settings_of
from src.config.stages import MAIN_STUDY, ClassifierTrainingConfig
from src.errors import ConfigError
from src.files import PROJECT, load_yaml

CF2LABEL, LABEL_ISSUES, IMAGE_ONLY, FROZEN = "cf2label", "label_issues", "image_only", "frozen"
SOFT_LABELS = {CF2LABEL: (CF2LABEL,), IMAGE_ONLY: (IMAGE_ONLY,), "both": (CF2LABEL, IMAGE_ONLY)}
"""The sources of probabilities for each choice of ``method.soft_labels``."""

TUNABLE = tuple(name for name, declared in settings_of(ClassifierTrainingConfig).items() if declared.tunable)


@dataclass(frozen=True)
class Requirements:
    """What a method needs besides labelled images."""

    vectors: bool  # the auxiliary loss has weight in some phase
    soft_labels: tuple[str, ...]  # of CF2Label, image_only, both, or none
    confidence: bool  # loss-based weights

    @property
    def cf2label(self) -> bool:
        """Whether CF2Label must have run."""
        return self.confidence or CF2LABEL in self.soft_labels

    @property
    def recommender(self) -> bool:
        """Whether a CF model must have run."""
        return self.vectors or self.cf2label


def resolve(cfg: ClassifierTrainingConfig) -> ClassifierTrainingConfig:
    """Fill each tunable setting that is null: with the value tuned for this label ratio, else with its default.

    Epochs that the command gives come before tuned steps.

    Raises:
        ConfigError: Settings contradict each other, or a tuned setting is not tunable.
    """
    tuned = tuned_by(cfg)[1].get("settings", {})
    check_tunable("The tuned config", tuned)
    defaults = {
        "alpha": cfg.method.alpha,
        "distill_lambda": cfg.method.distill_lambda,
        "lr": cfg.optimizer.lr,
        "standardize_vectors": True,
        "hidden_size": 512 if cfg.features == FROZEN else 0,
        "dropout": 0.5 if cfg.features == FROZEN else 0.0,
        "steps": None,
    }
    if any(override.startswith("epochs=") for override in cfg.called_with):
        tuned = {name: value for name, value in tuned.items() if name != "steps"}
    resolved = replace(cfg, **{name: tuned.get(name, defaults[name]) for name in TUNABLE if getattr(cfg, name) is None})
    check(resolved)
    if cfg.leaks and cfg.study == MAIN_STUDY:
        raise ConfigError("Runs with leaks need a study of their own, so that no valid table shows them: study=...")
    if not cfg.method.phases or not cfg.method.phases[-1].selects:
        raise ConfigError("method.phases should hold at least one phase, and the last one should select the epoch.")
    return resolved


def tuned_by(cfg: ClassifierTrainingConfig) -> tuple[str, Mapping[str, Any]]:
    """The method whose tuned settings a config takes, its own or ``tuned_as``, and its entry; empty without one."""
    for method in filter(None, (cfg.method.name, cfg.method.tuned_as)):
        if entry := tuned_entry(cfg, method):
            return method, entry
    return cfg.method.name, {}


def requirements(cfg: ClassifierTrainingConfig) -> Requirements:
    """What a resolved config needs; an auxiliary loss of weight 0 needs nothing."""
    vectors = bool(cfg.alpha) and any(phase.auxiliary > 0 for phase in cfg.method.phases)
    return Requirements(
        vectors=vectors,
        soft_labels=SOFT_LABELS[cfg.method.soft_labels] if cfg.method.soft_labels else (),
        confidence=vectors and cfg.method.confidence.scheme == "loss",
    )


def tuned_entry(cfg: ClassifierTrainingConfig, method: str) -> Mapping[str, Any]:
    """A method's tuned settings at the nearest label ratio (by quotient); empty if there are none or not wanted."""
    if not cfg.use_tuned or cfg.tune or not tuned_path(cfg, method).is_file():
        return {}
    entries = load_yaml(tuned_path(cfg, method))
    nearest = min(entries, key=lambda ratio: abs(math.log(max(float(ratio), 1e-6) / max(cfg.label_ratio, 1e-6))))
    return entries[nearest]


def tuned_with(cfg: ClassifierTrainingConfig) -> dict[str, Any]:
    """The settings, by dotted name, that are fixed while tuning; those of the CF model where the method uses one."""
    fixed = {name: value for name, value in identity(cfg).items() if name not in (*TUNABLE, "method", "study")}
    return flat(fixed | ({"recommender": identity(cfg.recommender)} if requirements(cfg).recommender else {}))


def check_tunable(what: str, names: Any) -> None:
    """Raise ``ConfigError`` where a setting among ``names`` is not tunable."""
    unknown = set(names) - set(TUNABLE)
    if unknown:
        raise ConfigError(f"{what} sets {sorted(unknown)}; it may set {', '.join(TUNABLE)}.")


def ratio_key(label_ratio: float) -> str:
    """A label ratio as written in file names and tuned configs."""
    return f"{label_ratio:g}"


def base_name(cfg: ClassifierTrainingConfig) -> str:
    """The backbone, and whether its features are frozen."""
    return f"{cfg.backbone.name}-{FROZEN}" if cfg.features == FROZEN else cfg.backbone.name


def tuned_path(cfg: ClassifierTrainingConfig, method: str) -> Path:
    """Where tuning writes a method's settings."""
    return PROJECT / cfg.tuned_dir / f"{cfg.dataset.name}-{base_name(cfg)}-{method}.yaml"
