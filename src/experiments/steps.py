"""The steps of an experiment, each one Hydra multirun, and where the runs of its cells lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import product
from typing import Any

from src.classifiers.runs import classifier_run
from src.classifiers.settings import resolve
from src.classifiers.tuning import tried
from src.config.stages import ClassifierTrainingConfig, RecommenderTrainingConfig
from src.data.folds import FoldData
from src.entry import compose_config
from src.recommenders.run import recommender_run
from src.runs import Run

TrainingConfig = RecommenderTrainingConfig | ClassifierTrainingConfig

compose_once = cache(compose_config)  # it takes a third of a second


@dataclass(frozen=True)
class Cell:
    """One combination of an experiment's settings: its own overrides, and the composed config."""

    overrides: tuple[str, ...]
    config: TrainingConfig

    def runs(self, fold: FoldData) -> list[Run]:
        """Its run; with ``tune``, one run for each trial, or none of a CF model, whose trials are no runs."""
        cfg = self.config
        if isinstance(cfg, RecommenderTrainingConfig):
            return [] if cfg.tune else [recommender_run(cfg, fold.interactions_digest)]
        trials = tried(cfg) if cfg.tune else [{}]
        return [classifier_run(resolve(replace(cfg, **settings)), fold) for settings in trials]


@dataclass(frozen=True)
class Step:
    """Cells that one command runs: all combinations of a config group's choices and some settings' values.

    Attributes:
        title: Printed before its state.
        stage: ``train_recommender`` or ``train_classifier``.
        overrides: What all cells share.
        group: The swept config group, ``recommender`` or ``method``, with its ``choices``.
        values: The swept settings and their values.
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
        cells = []
        for choice, *values in product(self.choices, *self.values.values()):
            composed = compose_once(self.stage, (*self.overrides, f"{self.group}={choice}"))
            settings = dict(zip(self.values, values, strict=True))
            overrides = tuple(f"{name}={value}" for name, value in {self.group: choice, **settings}.items())
            config = replace(composed, called_with=[*composed.called_with, *overrides], **settings)
            cells.append(Cell(overrides, config))
        return cells
