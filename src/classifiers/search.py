"""Search for settings by Optuna: seeded, resumable, bad trials pruned."""

import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning
import optuna
from filelock import FileLock
from lightning.pytorch.callbacks import Callback
from optuna.trial import TrialState

from src.classifiers.settings import TUNABLE, ratio_key, resolve, tuned_with
from src.config.classifiers import SearchConfig
from src.config.stages import ClassifierTrainingConfig
from src.errors import ConfigError
from src.randomness import derive_seed
from src.runs import content_hash

logger = logging.getLogger(__name__)

GRID = 20  # parts of a run after which trials are compared, since their numbers of epochs differ
DONE = (TrialState.COMPLETE, TrialState.PRUNED)


class Pruner(Callback):
    """Reports each epoch's validation mAP, and prunes a trial below the median of earlier ones."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial, self._place = trial, 0

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Report the epoch's validation mAP, logged by an earlier callback, by its share of the run."""
        place = GRID * (trainer.current_epoch + 1) // int(trainer.max_epochs or 1)
        if place > self._place:
            self._place = place
            self._trial.report(float(trainer.callback_metrics["val/mAP"]), place)
            if self._trial.should_prune():
                raise optuna.TrialPruned


def search(cfg: ClassifierTrainingConfig, path: Path, attempt: Callable[..., float]) -> list[dict[str, Any]]:
    """Run ``cfg.n_trials`` trials of settings drawn from the method's search space.

    The sampler is seeded by trial, so that an interrupted search draws what an uninterrupted one draws, and the first
    draws of settings that all methods have are the same for all. An interrupted trial is run again; its run continues
    from its last epoch.

    Args:
        cfg: What is tuned.
        path: SQLite file of the studies, one for each label ratio, fixed settings and search space.
        attempt: Maps ``cfg``, settings and Lightning callbacks to a validation mAP.

    Returns:
        Settings and validation mAP of each trial, null if it was pruned.

    Raises:
        ConfigError: The method has no search space.
    """
    if not cfg.method.search:
        raise ConfigError(f"method={cfg.method.name} does not say where to search; give method.search, or no n_trials.")
    path.parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    given = {name: getattr(cfg, name) for name in TUNABLE}
    budget = content_hash([tuned_with(resolve(cfg)), asdict(cfg.method), given])[:8]
    with FileLock(path.with_suffix(".lock")):
        study = optuna.create_study(
            storage=f"sqlite:///{path}",
            study_name=f"ratio{ratio_key(cfg.label_ratio)}-{budget}",
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=GRID // 4),
            load_if_exists=True,
        )
        for trial in study.get_trials(states=(TrialState.RUNNING,)):  # cut off
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params)
        while (place := len(study.get_trials(states=DONE))) < int(cfg.n_trials or 0):
            study.sampler = optuna.samplers.TPESampler(seed=derive_seed(cfg.seed, "trial", place) % 2**32)
            _run_trial(study, cfg, attempt)
        return [
            {
                "settings": dict(trial.user_attrs["settings"]),
                "val_mAP": trial.value if trial.state == TrialState.COMPLETE else None,
            }
            for trial in study.get_trials(states=DONE)
        ]


def _run_trial(study: optuna.Study, cfg: ClassifierTrainingConfig, attempt: Callable[..., float]) -> None:
    """Run one trial, one that was cut off or a new one; what the command sets is not searched."""
    trial = study.ask()
    space = {name: where for name, where in cfg.method.search.items() if getattr(cfg, name) is None}
    settings = {name: _suggest(trial, name, where) for name, where in space.items()}
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
