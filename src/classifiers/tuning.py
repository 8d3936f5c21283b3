"""Tuning on validation: the method's list of settings, then an optional search; the choice becomes a config."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from filelock import FileLock

from src.classifiers.settings import CF2LABEL, check_tunable, ratio_key, resolve, tuned_path, tuned_with
from src.classifiers.train import train_classifier
from src.config.datasets import CLASSIFICATION
from src.config.stages import MAIN_STUDY, ClassifierTrainingConfig
from src.errors import ConfigError
from src.files import load_yaml, save_yaml
from src.recommenders.run import dataset_dir

logger = logging.getLogger(__name__)


def train_or_tune(cfg: ClassifierTrainingConfig) -> dict[str, Any]:
    """Train one run, or with ``tune=true`` try settings on validation, writing the best ones as a config."""
    return tune(cfg) if cfg.tune else train_classifier(cfg)


def tune(cfg: ClassifierTrainingConfig) -> dict[str, Any]:
    """Try settings and write those with the highest validation mAP.

    These are the method's ``trials``; with ``n_trials``, so many that Optuna draws from its ``search`` space. It prunes
    bad ones, and keeps its study in ``outputs/<dataset>/tuning/<backbone>-<method>.sqlite``. Finished trials are
    reused, so an interrupted tuning continues. The choice is an entry, by label ratio, of
    ``<dataset>-<backbone>-<method>.yaml``.

    Raises:
        ConfigError: There is nothing to try, or something to try is not tunable.
    """
    method = cfg.method
    if method.name == CF2LABEL or not method.trials:
        raise ConfigError(f"method={method.name} lists no settings to try; give method.trials, as image_only does.")
    if cfg.dataset.task != CLASSIFICATION:
        raise ConfigError("Tuning compares validation mAP, which numbers (dataset.value_columns) do not have.")
    if cfg.study == MAIN_STUDY:
        raise ConfigError("Tuning runs need a study and a seed of their own; set study=tune seed=100.")
    check_tunable("method.trials", {name for trial in method.trials for name in trial})
    check_tunable("method.search", method.search)
    if cfg.n_trials is None:
        trials = [{"settings": dict(settings), "val_mAP": _try(cfg, settings)} for settings in method.trials]
    else:
        from src.classifiers.search import search

        path = dataset_dir(cfg) / "tuning" / f"{cfg.backbone.name}-{method.name}.sqlite"
        trials = search(cfg, path, _try)
    return _choose(cfg, trials)


def tried(cfg: ClassifierTrainingConfig) -> list[dict[str, Any]]:
    """The settings whose runs exist once ``cfg`` is tuned; the method's own where a search has not ended."""
    if cfg.n_trials is None or not (path := tuned_path(cfg, cfg.method.name)).is_file():
        return cfg.method.trials
    entry = load_yaml(path).get(ratio_key(cfg.label_ratio), {})
    trials = [trial["settings"] for trial in entry.get("trials", []) if trial["val_mAP"] is not None]
    ended = len(entry.get("trials", [])) >= cfg.n_trials and entry["made_with"] == _made_with(cfg)
    return trials if ended else cfg.method.trials


def _made_with(cfg: ClassifierTrainingConfig) -> dict[str, Any]:
    return tuned_with(resolve(replace(cfg, tune=True)))


def _try(cfg: ClassifierTrainingConfig, settings: Mapping[str, Any], *callbacks: Any) -> float:
    """Validation mAP of a run with these settings."""
    metrics = train_classifier(replace(cfg, tune=True, **settings), callbacks)
    logger.info("%s: validation mAP %.4f", dict(settings), metrics["val_mAP"])
    return float(metrics["val_mAP"])


def _choose(cfg: ClassifierTrainingConfig, trials: list[dict[str, Any]]) -> dict[str, Any]:
    best = max((trial for trial in trials if trial["val_mAP"] is not None), key=lambda trial: trial["val_mAP"])
    path = tuned_path(cfg, cfg.method.name)
    entry = {"settings": dict(best["settings"]), "trials": trials, "made_with": _made_with(cfg)}
    with FileLock(path.with_suffix(".lock")):
        entries = load_yaml(path) if path.is_file() else {}
        save_yaml(path, dict(sorted({**entries, ratio_key(cfg.label_ratio): entry}.items())))
    logger.info("Chosen for label ratio %g: %s (in %s)", cfg.label_ratio, best["settings"], path)
    return {"settings": best["settings"], "val_mAP": best["val_mAP"]}
