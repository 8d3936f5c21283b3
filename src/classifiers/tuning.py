"""Tuning in its plainest form: a list of settings, tried on validation; the choice becomes a config."""

import logging
from dataclasses import replace
from typing import Any

from filelock import FileLock

from src.artifacts import load_yaml, save_yaml
from src.classifiers.settings import CF2LABEL, TUNABLE, ratio_key, resolve, tuned_path
from src.classifiers.train import train_classifier
from src.config import ClassifierTrainingConfig
from src.errors import ConfigError

logger = logging.getLogger(__name__)


def train_or_tune(cfg: ClassifierTrainingConfig) -> dict[str, Any]:
    """Train one run, or with ``tune=true`` every trial of the method, writing the best settings as a config."""
    return tune(cfg) if cfg.tune else train_classifier(cfg)


def tune(cfg: ClassifierTrainingConfig) -> dict[str, Any]:
    """Try each of the method's settings and write the one with the highest validation mAP.

    Finished trials are reused. The file ``<dataset>-<backbone>-<method>.yaml`` keeps one entry a label ratio.

    Raises:
        ConfigError: The method has no trials, or a trial sets something that is not tunable.
    """
    if cfg.method.name == CF2LABEL or not cfg.method.trials:
        raise ConfigError(f"method={cfg.method.name} lists no settings to try; give method.trials, as image_only does.")
    if cfg.study == "main":
        raise ConfigError("Tuning runs need a study of their own, so that they are never predicted: settings=tune.")
    trials = []
    for settings in cfg.method.trials:
        unknown = set(settings) - set(TUNABLE)
        if unknown:
            raise ConfigError(f"method.trials sets {sorted(unknown)}; it may set {', '.join(TUNABLE)}.")
        metrics = train_classifier(replace(cfg, tuned={}, **settings))
        trials.append({"settings": dict(settings), "val_mAP": metrics["val_mAP"]})
        logger.info("%s: validation mAP %.4f", settings, metrics["val_mAP"])
    best = max(trials, key=lambda trial: trial["val_mAP"])
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
