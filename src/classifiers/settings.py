"""From a composed config to a run: settings resolved, checked, named, and hashed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import attrgetter, getitem
from pathlib import Path
from typing import Any

from src.artifacts import PREPARED, load_yaml
from src.config import ClassifierTrainingConfig, MethodConfig, check_choice
from src.data.folds import FoldData, open_fold
from src.errors import ConfigError
from src.recommenders.locate import RecommenderRun
from src.runs import plain, run_directory

CF2LABEL, IMAGE_ONLY = "cf2label", "image_only"
SOFT_LABELS = {CF2LABEL: (CF2LABEL,), IMAGE_ONLY: (IMAGE_ONLY,), "both": (CF2LABEL, IMAGE_ONLY)}
"""Whose probabilities each choice of ``method.soft_labels`` needs."""

OPTIONAL = ("ema_decay", "early_stopping")
"""Settings that define a run only where they are set, so that runs from before there were any keep their names."""

LATER: dict[tuple[str, ...], Any] = {
    ("method", "temperature"): 1.0,
    ("method", "soft_weight"): "none",
    ("method", "task_weights"): "fixed",
    ("method", "confidence", "unlabelled"): "mean",
    ("loss", "label"): "cross_entropy",
    ("loss", "gamma_positive"): 0.0,
    ("loss", "gamma_negative"): 4.0,
    ("loss", "probability_margin"): 0.05,
}
"""Likewise settings of a part, with the value that changes nothing."""

TUNABLE = ("alpha", "distill_lambda", "lr", "standardize_vectors")


@dataclass(frozen=True)
class Requirements:
    """What a method needs besides labelled images, given its settings."""

    vectors: bool  # the auxiliary loss has weight in some phase
    soft_labels: tuple[str, ...]  # whose: CF2Label's, image_only's, both, or none
    confidence: bool  # loss-based weights

    @property
    def cf2label(self) -> bool:
        """Whether CF2Label must have run."""
        return self.confidence or CF2LABEL in self.soft_labels

    @property
    def unlabelled_images(self) -> bool:
        """Whether unlabelled images teach anything."""
        return self.vectors or bool(self.soft_labels)


def resolve(cfg: ClassifierTrainingConfig) -> ClassifierTrainingConfig:
    """Fill each tunable setting that is null: from what was tuned for this label ratio, else from the defaults.

    Raises:
        ConfigError: A value is out of range, or a tuned setting is unknown.
    """
    entries = cfg.tuned
    if not entries and not cfg.tune and cfg.method.tuned_as is not None:
        entries = _load_tuned(cfg, cfg.method.tuned_as)
    tuned = tuned_settings(entries, cfg.label_ratio)
    unknown = set(tuned) - set(TUNABLE)
    if unknown:
        raise ConfigError(f"The tuned config sets {sorted(unknown)}; it may set {', '.join(TUNABLE)}.")
    defaults = {
        "alpha": cfg.method.alpha,
        "distill_lambda": cfg.method.distill_lambda,
        "lr": cfg.optimizer.lr,
        "standardize_vectors": True,
    }
    chosen = {
        name: tuned.get(name, defaults[name]) if getattr(cfg, name) is None else getattr(cfg, name) for name in TUNABLE
    }
    resolved = replace(cfg, **chosen)
    _check(resolved)
    return resolved


def requirements(cfg: ClassifierTrainingConfig) -> Requirements:
    """What a resolved config needs; an auxiliary loss of weight 0 needs nothing."""
    vectors = bool(cfg.alpha) and any(phase.auxiliary > 0 for phase in cfg.method.phases)
    return Requirements(
        vectors=vectors,
        soft_labels=SOFT_LABELS[cfg.method.soft_labels] if cfg.method.soft_labels else (),
        confidence=vectors and cfg.method.confidence.scheme == "loss",
    )


def ratio_key(label_ratio: float) -> str:
    """A label ratio as it stands in file names and tuned configs."""
    return f"{label_ratio:g}"


def tuned_settings(entries: Mapping[str, Mapping[str, Any]], label_ratio: float) -> Mapping[str, Any]:
    """Settings tuned for a label ratio, or for the nearest one (by quotient) that was tuned; empty if none was."""
    if not entries:
        return {}
    nearest = min(entries, key=lambda ratio: abs(math.log(max(float(ratio), 1e-6) / max(label_ratio, 1e-6))))
    settings: Mapping[str, Any] = entries[nearest].get("settings", {})
    return settings


def tuned_path(cfg: ClassifierTrainingConfig, method: str) -> Path:
    """Where tuning writes a method's settings."""
    return Path(cfg.tuned_dir) / f"{cfg.dataset.name}-{cfg.backbone.name}-{method}.yaml"


def dataset_dir(cfg: ClassifierTrainingConfig) -> Path:
    """Where everything of the dataset lies."""
    return Path(cfg.outputs_dir) / cfg.dataset.name


def load_fold(cfg: ClassifierTrainingConfig) -> FoldData:
    """The config's dataset and fold."""
    return open_fold(dataset_dir(cfg) / PREPARED, cfg.fold, cfg.leaks)


def vectors_run(cfg: ClassifierTrainingConfig, fold: FoldData) -> RecommenderRun:
    """The CF model's run whose vectors the config needs."""
    digest = fold.interactions_digest
    return RecommenderRun(dataset_dir(cfg), cfg.recommender, cfg.fold, cfg.recommender_seed, digest, cfg.leaks)


def cf2label_run(cfg: ClassifierTrainingConfig, fold: FoldData) -> tuple[Path, str, Mapping[str, Any]]:
    """Parent, name and definition of the CF2Label run that the config needs."""
    settings = {
        "cf2label": plain(cfg.cf2label),
        "vectors": cfg.method.vectors,
        "seed": cfg.seed,
        "label_ratio": cfg.label_ratio,
        "mask_seed": cfg.mask_seed,
    }
    inputs = {"items": fold.items_digest, "vectors": vectors_run(cfg, fold).directory.name}
    vectors = "" if cfg.method.vectors == "cf" else f"{cfg.method.vectors}-"
    name = f"{cfg.recommender.name}-{vectors}ratio{ratio_key(cfg.label_ratio)}-fold{cfg.fold}-seed{cfg.seed}"
    return dataset_dir(cfg) / "classifier" / CF2LABEL, name, {"settings": settings, "inputs": inputs}


def fine_tuning_run(cfg: ClassifierTrainingConfig, fold: FoldData) -> tuple[Path, str, Mapping[str, Any]]:
    """Parent, name and definition of a fine-tuning run: paths, devices and loggers define no result."""
    needs = requirements(cfg)
    settings = {
        name: plain(getattr(cfg, name))
        for name in (
            *("backbone", "method", "optimizer", "loss", "augmentation", "study", "fold", "seed", "mask_seed"),
            *("label_ratio", *TUNABLE, "image_size", "epochs", "batch_size", "unlabelled_batch_size"),
            *("precision", "gradient_clip"),
        )
    }
    for name in ("trials", "search", "tuned_as"):  # what they lead to stands among the settings
        settings["method"].pop(name)
    for (*parts, name), unset in LATER.items():
        section = reduce(getitem, parts, settings)
        if section[name] == unset:
            section.pop(name)
    settings["eval_crop"] = cfg.dataset.eval_crop
    settings |= {name: getattr(cfg, name) for name in OPTIONAL if getattr(cfg, name)}
    inputs = {"items": fold.items_digest}
    if needs.vectors:
        inputs["vectors"] = vectors_run(cfg, fold).directory.name
    if needs.cf2label:
        inputs[CF2LABEL] = run_directory(*cf2label_run(cfg, fold)).name
    if IMAGE_ONLY in needs.soft_labels:
        inputs["teacher"] = run_directory(*teacher_run(cfg, fold)).name
    weights = "".join(
        f"-{label}{getattr(cfg, name):g}"
        for label, name, used in (("alpha", "alpha", needs.vectors), ("lambda", "distill_lambda", needs.soft_labels))
        if used
    )
    study = "" if cfg.study == "main" else f"{cfg.study}-"
    name = f"{study}{cfg.backbone.name}-ratio{ratio_key(cfg.label_ratio)}{weights}-fold{cfg.fold}-seed{cfg.seed}"
    parent = dataset_dir(cfg) / "classifier" / cfg.method.name
    return parent, name, {"settings": settings, "inputs": inputs}


def teacher_run(cfg: ClassifierTrainingConfig, fold: FoldData) -> tuple[Path, str, Mapping[str, Any]]:
    """Parent, name and definition of the image_only run, otherwise of the same settings, that gives soft labels."""
    tuned = _load_tuned(cfg, IMAGE_ONLY)
    has_own_lr = "lr" in tuned_settings(tuned, cfg.label_ratio)
    untuned: dict[str, Any] = dict.fromkeys(TUNABLE) | {"lr": None if has_own_lr else cfg.lr}
    return fine_tuning_run(resolve(replace(cfg, method=MethodConfig(name=IMAGE_ONLY), tuned=tuned, **untuned)), fold)


def _load_tuned(cfg: ClassifierTrainingConfig, method: str) -> dict[str, dict[str, Any]]:
    """A method's tuned settings of each label ratio, none if it was not tuned."""
    path = tuned_path(cfg, method)
    tuned: dict[str, dict[str, Any]] = load_yaml(path) if path.is_file() else {}
    return tuned


def _check(cfg: ClassifierTrainingConfig) -> None:
    check_choice("method.auxiliary_loss", cfg.method.auxiliary_loss, ("reconstruction", "contrastive"))
    if cfg.method.soft_labels is not None:
        check_choice("method.soft_labels", cfg.method.soft_labels, tuple(SOFT_LABELS))
    check_choice("method.vectors", cfg.method.vectors, ("cf", "shuffled", "random"))
    check_choice("method.soft_weight", cfg.method.soft_weight, ("none", "certainty", "n_users"))
    check_choice("method.confidence.unlabelled", cfg.method.confidence.unlabelled, ("mean", "expected"))
    check_choice("method.confidence.scheme", cfg.method.confidence.scheme, ("uniform", "interaction", "loss"))
    check_choice("loss.class_weighting", cfg.loss.class_weighting, ("normalized_inverse", "balanced", "none"))
    check_choice("method.task_weights", cfg.method.task_weights, ("fixed", "learned"))
    check_choice("loss.label", cfg.loss.label, ("cross_entropy", "asymmetric"))
    check_choice("loss.distance", cfg.loss.distance, ("paper", "squared"))
    for name, low, high in (
        ("label_ratio", 0.0, 1.0),
        ("distill_lambda", 0.0, 1.0),
        ("alpha", 0.0, float("inf")),
        ("method.temperature", 0.01, float("inf")),
        ("loss.gamma_positive", 0.0, float("inf")),
        ("loss.gamma_negative", 0.0, float("inf")),
        ("loss.probability_margin", 0.0, 0.5),
        ("epochs", 1, float("inf")),
        ("image_size", 8, float("inf")),
    ):
        value = attrgetter(name)(cfg)
        if not low <= value <= high:
            raise ConfigError(f"{name} should be in [{low:g}, {high:g}], but is {value}.")
    if cfg.leaks and cfg.study == "main":
        raise ConfigError("Runs with leaks need a study of their own, so that no valid table shows them: study=...")
    if cfg.batch_size < 2:
        raise ConfigError(f"batch_size should be at least 2, which batch normalisation needs, but is {cfg.batch_size}.")
    if not cfg.method.phases or not cfg.method.phases[-1].selects:
        raise ConfigError("method.phases should hold at least one phase, and the last one should select the epoch.")
