"""Search for settings by Optuna: listed trials first, then drawn ones; seeded and resumable."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.trial import TrialState

from src.config.classifiers import SearchConfig
from src.errors import ConfigError
from src.randomness import derive_seed

DONE = (TrialState.COMPLETE, TrialState.PRUNED)

logger = logging.getLogger(__name__)


def run_trials(
    path: Path,
    name: str,
    listed: Sequence[Mapping[str, Any]],
    space: Mapping[str, SearchConfig],
    n_trials: int,
    seed: int,
    attempt: Callable[[dict[str, Any], optuna.Trial], float],
    pruner: optuna.pruners.BasePruner | None = None,
) -> list[optuna.trial.FrozenTrial]:
    """Maximise what ``attempt`` returns over ``n_trials`` trials in all, those of earlier calls included.

    The sampler is seeded by trial, so that an interrupted search draws what an uninterrupted one draws. An interrupted
    trial is run again.

    Args:
        path: SQLite file of studies.
        name: Of the study; another task or space needs another name.
        listed: Settings of the first trials, each with a value for all names of ``space``.
        space: Where to search, by setting.
        n_trials: Number of trials.
        seed: Of the sampler.
        attempt: Maps settings and the trial, which it may prune, to a value.
        pruner: That the trial asks; None: no trial is pruned.

    Returns:
        The trials that are done, pruned ones included; ``params`` are their settings.

    Raises:
        ConfigError: A setting of ``space`` has neither a range nor choices.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with FileLock(path.with_suffix(".lock")):
        study = optuna.create_study(
            storage=f"sqlite:///{path}",
            study_name=name,
            direction="maximize",
            pruner=pruner or optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
        for cut_off in study.get_trials(states=(TrialState.RUNNING,)):
            study.tell(cut_off.number, state=TrialState.FAIL)
            study.enqueue_trial(cut_off.params)
        while (place := len(study.get_trials(states=DONE))) < n_trials:
            study.sampler = optuna.samplers.TPESampler(seed=derive_seed(seed, "trial", place) % 2**32)
            if place < len(listed) and not study.get_trials(states=(TrialState.WAITING,)):
                study.enqueue_trial(dict(listed[place]))
            trial = study.ask()
            settings = {setting: _suggest(trial, setting, where) for setting, where in space.items()}
            try:
                study.tell(trial, attempt(settings, trial))
            except optuna.TrialPruned:
                logger.info("%s: pruned", settings)
                study.tell(trial, values=None, state=TrialState.PRUNED)
        return study.get_trials(states=DONE)


def _suggest(trial: optuna.Trial, name: str, where: SearchConfig) -> Any:
    if where.choices is not None:
        return trial.suggest_categorical(name, where.choices)
    if where.low is None or where.high is None:
        raise ConfigError(f"search.{name} should have low and high, or choices.")
    return trial.suggest_float(name, where.low, where.high, log=where.log)
