"""Tuning on validation: the method's list of settings, then a search if asked for; the choice becomes a config."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from filelock import FileLock

from src.artifacts import load_yaml, save_yaml
from src.classifiers.settings import CF2LABEL, TUNABLE, dataset_dir, ratio_key, resolve, tuned_path
from src.classifiers.train import train_classifier
from src.config import ClassifierTrainingConfig
from src.errors import ConfigError

logger = logging.getLogger(__name__)

STUDIES_DIR = "tuning"

Trial = dict[str, Any]
"""``settings`` and ``val_mAP``, which is null where a trial was pruned."""


def train_or_tune(cfg: ClassifierTrainingConfig) -> dict[str, Any]:
    """Train one run, or with ``tune=true`` try settings on validation, writing the best ones as a config."""
    return tune(cfg) if cfg.tune else train_classifier(cfg)


def tune(cfg: ClassifierTrainingConfig) -> dict[str, Any]:
    """Try settings and write those with the highest validation mAP.

    First the method's ``trials``. With ``n_trials`` more are drawn from its ``search`` space by Optuna (tree-structured
    Parzen estimator), bad ones are pruned, and the study is kept in
    ``outputs/<dataset>/tuning/<backbone>-<method>.sqlite``. Finished trials are reused; a tuning that was cut off goes
    on and ends where an uninterrupted one ends. ``<dataset>-<backbone>-<method>.yaml`` keeps one entry a label ratio.

    Raises:
        ConfigError: There is nothing to try, or something to try is not tunable.
    """
    method = cfg.method
    if method.name == CF2LABEL or not method.trials:
        raise ConfigError(f"method={method.name} lists no settings to try; give method.trials, as image_only does.")
    if getattr(cfg.dataset, "value_columns", []):
        raise ConfigError("Tuning compares validation mAP, which numbers (dataset.value_columns) do not have.")
    if cfg.study == "main":
        raise ConfigError("Tuning runs need a study of their own, so that they are never predicted: settings=tune.")
    tried = {name for trial in method.trials for name in trial}
    for where, names in (("trials", tried), ("search", set(method.search))):
        unknown = names - set(TUNABLE)
        if unknown:
            raise ConfigError(f"method.{where} sets {sorted(unknown)}; it may set {', '.join(TUNABLE)}.")
    if cfg.n_trials is None:
        trials = [{"settings": dict(settings), "val_mAP": _try(cfg, settings)} for settings in method.trials]
    else:
        from src.classifiers.search import search

        path = dataset_dir(cfg) / STUDIES_DIR / f"{cfg.backbone.name}-{method.name}.sqlite"
        trials = search(cfg, path, _try)
    return _choose(cfg, trials)


def _try(cfg: ClassifierTrainingConfig, settings: Mapping[str, Any], *callbacks: Any) -> float:
    """Validation mAP of a run with these settings."""
    metrics = train_classifier(replace(cfg, tuned={}, **settings), callbacks)
    logger.info("%s: validation mAP %.4f", dict(settings), metrics["val_mAP"])
    return float(metrics["val_mAP"])


def _choose(cfg: ClassifierTrainingConfig, trials: list[Trial]) -> dict[str, Any]:
    best = max((trial for trial in trials if trial["val_mAP"] is not None), key=lambda trial: trial["val_mAP"])
    path = tuned_path(cfg, cfg.method.name)
    resolved = resolve(replace(cfg, tuned={}, **best["settings"]))
    entry = {
        "settings": dict(best["settings"]),
        "trials": trials,
        "made_with": {name: getattr(resolved, name) for name in ("image_size", "epochs", "batch_size", "fold", "seed")},
    }
    with FileLock(path.with_suffix(".lock")):
        entries = load_yaml(path) if path.is_file() else {}
        save_yaml(path, dict(sorted({**entries, ratio_key(cfg.label_ratio): entry}.items())))
    logger.info("Chosen for label ratio %g: %s (in %s)", cfg.label_ratio, best["settings"], path)
    return {"settings": best["settings"], "val_mAP": best["val_mAP"]}
