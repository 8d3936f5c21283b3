"""Search for settings by Optuna: seeded, resumable, and with bad trials cut short."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import optuna
from filelock import FileLock
from lightning.pytorch.callbacks import Callback
from optuna.trial import TrialState

from src.classifiers.settings import ratio_key, resolve
from src.config import ClassifierTrainingConfig, SearchConfig
from src.errors import ConfigError
from src.runs import content_hash, derive_seed

logger = logging.getLogger(__name__)

BUDGET = ("epochs", "image_size", "batch_size", "fold", "seed")
DONE = (TrialState.COMPLETE, TrialState.PRUNED)


class Pruner(Callback):
    """Reports each epoch's validation mAP, and ends a trial that does worse than half of those before it."""

    def __init__(self, trial: optuna.Trial) -> None:
        """Report to ``trial``."""
        self._trial = trial

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Report the epoch that has ended, whose metrics an earlier callback has logged."""
        self._trial.report(float(trainer.callback_metrics["val/mAP"]), trainer.current_epoch)
        if self._trial.should_prune():
            raise optuna.TrialPruned


def search(cfg: ClassifierTrainingConfig, path: Path, attempt: Callable[..., float]) -> list[dict[str, Any]]:
    """Run the method's listed trials and then drawn ones, ``cfg.n_trials`` in all.

    Each trial is drawn by a sampler seeded with its place, so that a search which was cut off draws what an
    uninterrupted one draws; the trial that was cut off is run again, and its run goes on from its last epoch.

    Args:
        cfg: What is tuned.
        path: SQLite file of the studies, one for each label ratio and budget.
        attempt: Validation mAP of some settings; takes them after ``cfg``, and Lightning callbacks after these.

    Returns:
        Settings and validation mAP of each trial, null where it was pruned.

    Raises:
        ConfigError: The method does not say where to search.
    """
    listed = cfg.method.trials
    if not cfg.method.search:
        raise ConfigError(f"method={cfg.method.name} does not say where to search; give method.search, or no n_trials.")
    path.parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    budget = content_hash([getattr(cfg, name) for name in BUDGET])[:8]
    with FileLock(path.with_suffix(".lock")):
        study = optuna.create_study(
            storage=f"sqlite:///{path}",
            study_name=f"ratio{ratio_key(cfg.label_ratio)}-{budget}",
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(len(listed), n_warmup_steps=max(1, cfg.epochs // 4)),
            load_if_exists=True,
        )
        for trial in study.get_trials(states=(TrialState.RUNNING,)):  # cut off
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params)
        while (place := len(study.get_trials(states=DONE))) < int(cfg.n_trials or 0):
            study.sampler = optuna.samplers.TPESampler(seed=derive_seed(cfg.seed, "trial", place) % 2**32)
            _run_trial(study, cfg, listed[place] if place < len(listed) else {}, attempt)
        return [
            {
                "settings": dict(trial.user_attrs["settings"]),
                "val_mAP": trial.value if trial.state == TrialState.COMPLETE else None,
            }
            for trial in study.get_trials(states=DONE)
        ]


def _run_trial(
    study: optuna.Study, cfg: ClassifierTrainingConfig, listed: dict[str, Any], attempt: Callable[..., float]
) -> None:
    """Run one trial: a listed one, one that was cut off, or a new one."""
    if listed and not study.get_trials(states=(TrialState.WAITING,)):
        resolved = resolve(replace(cfg, tuned={}, **listed))
        study.enqueue_trial({name: getattr(resolved, name) for name in cfg.method.search})
    trial = study.ask()
    settings = {**listed, **{name: _suggest(trial, name, where) for name, where in cfg.method.search.items()}}
    trial.set_user_attr("settings", settings)
    try:
        study.tell(trial, attempt(cfg, settings, Pruner(trial)))
    except optuna.TrialPruned:
        logger.info("%s: pruned", settings)
        study.tell(trial, values=None, state=TrialState.PRUNED)


def _suggest(trial: optuna.Trial, name: str, where: SearchConfig) -> Any:
    if where.choices is not None:
        return trial.suggest_categorical(name, where.choices)
    if where.low is None or where.high is None:
        raise ConfigError(f"method.search.{name} should have low and high, or choices.")
    return trial.suggest_float(name, where.low, where.high, log=where.log)
