"""The steps of an experiment, each one Hydra multirun, and where the runs of its cells lie."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any

from src.classifiers.settings import CF2LABEL, cf2label_run, fine_tuning_run, resolve
from src.config import ClassifierTrainingConfig, RecommenderTrainingConfig
from src.data.folds import FoldData
from src.entry import compose_config
from src.recommenders.locate import RecommenderRun

TrainingConfig = RecommenderTrainingConfig | ClassifierTrainingConfig
Located = tuple[Path, str, Mapping[str, Any]]

compose_once = cache(compose_config)  # it takes a third of a second


@dataclass(frozen=True)
class Cell:
    """One combination of an experiment's settings.

    Attributes:
        overrides: What sets it apart from the other cells of its step.
        config: Its composed config.
    """

    overrides: tuple[str, ...]
    config: TrainingConfig

    def locate(self, fold: FoldData) -> list[Located]:
        """Parent, name and definition of its run; of one run a trial where settings are tuned."""
        cfg = self.config
        if isinstance(cfg, RecommenderTrainingConfig):
            dataset_dir = Path(cfg.outputs_dir) / cfg.dataset.name
            digest = fold.interactions_digest
            run = RecommenderRun(dataset_dir, cfg.recommender, cfg.fold, cfg.seed, digest, cfg.leaks)
            return [(run.parent, run.name, run.definition)]
        if cfg.method.name == CF2LABEL:
            return [cf2label_run(resolve(cfg), fold)]
        trials = [{"tuned": {}, **settings} for settings in cfg.method.trials] if cfg.tune else [{}]
        return [fine_tuning_run(resolve(replace(cfg, **settings)), fold) for settings in trials]


@dataclass(frozen=True)
class Step:
    """Cells that one command runs: all combinations of a config group's choices and some settings' values.

    Attributes:
        title: What it makes, as printed.
        stage: ``train_recommender`` or ``train_classifier``.
        overrides: What all cells share.
        group: The config group that is swept, ``recommender`` or ``method``.
        choices: Its choices.
        values: The settings that are swept, and their values.
    """

    title: str
    stage: str
    overrides: tuple[str, ...]
    group: str
    choices: tuple[str, ...]
    values: Mapping[str, Sequence[Any]]

    @property
    def arguments(self) -> list[str]:
        """Overrides of the multirun."""
        swept = [f"{name}={','.join(map(str, values))}" for name, values in self.values.items()]
        return [*self.overrides, f"{self.group}={','.join(self.choices)}", *swept]

    @cached_property
    def cells(self) -> list[Cell]:
        """Each combination."""
        return list(self._combine())

    def _combine(self) -> Iterator[Cell]:
        for choice in self.choices:
            composed = compose_once(self.stage, (*self.overrides, f"{self.group}={choice}"))
            for values in product(*self.values.values()):
                settings = dict(zip(self.values, values, strict=True))
                overrides = tuple(f"{name}={value}" for name, value in {self.group: choice, **settings}.items())
                if isinstance(composed, ClassifierTrainingConfig):
                    settings["recommender_seed"] = settings["seed"]  # as configs/train_classifier.yaml has it
                yield Cell(overrides, replace(composed, **settings))
