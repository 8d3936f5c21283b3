"""Search for settings by Optuna: seeded, resumable, bad trials pruned."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning
import optuna
from lightning.pytorch.callbacks import Callback
from optuna.trial import TrialState

from src.classifiers.settings import TUNABLE, ratio_key, resolve, tuned_with
from src.config.stages import ClassifierTrainingConfig
from src.errors import ConfigError
from src.runs import content_hash
from src.search import run_trials

GRID = 20  # parts of a run after which trials are compared, since their numbers of epochs differ


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

    The first draws of settings that all methods have are the same for all. The run of an interrupted trial continues
    from its last epoch. ``path`` has a study for each label ratio, fixed settings and search space. ``attempt`` maps
    ``cfg``, settings and Lightning callbacks to a validation mAP.

    Returns:
        Settings and validation mAP of each trial, null if it was pruned.

    Raises:
        ConfigError: The method has no search space.
    """
    if not cfg.method.search:
        raise ConfigError(f"method={cfg.method.name} does not say where to search; give method.search, or no n_trials.")
    given = {name: getattr(cfg, name) for name in TUNABLE}
    budget = content_hash([tuned_with(resolve(cfg)), asdict(cfg.method), given])[:8]
    trials = run_trials(
        path,
        f"ratio{ratio_key(cfg.label_ratio)}-{budget}",
        [],
        {name: where for name, where in cfg.method.search.items() if getattr(cfg, name) is None},
        int(cfg.n_trials or 0),
        cfg.seed,
        lambda settings, trial: attempt(cfg, settings, Pruner(trial)),
        optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=GRID // 4),
    )
    return [
        {"settings": trial.params, "val_mAP": trial.value if trial.state == TrialState.COMPLETE else None}
        for trial in trials
    ]
