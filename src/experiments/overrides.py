"""Overrides of an experiment's command line, handed to the stages that know them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from src.config import STAGES, ExperimentConfig
from src.errors import ConfigError

OWN = {"experiment", *(entry.name for entry in fields(ExperimentConfig))}
SWEPT = {
    "fold": "folds=[0,1]",
    "seed": "seeds=[0,1]",
    "method": "methods=[image_only,mtl_uniform]",
    "label_ratio": "label_ratios=[0.2,1.0]",
    "alpha": "alphas=[0.1,1.0]",
    "recommender_seed": "seeds=[0,1], which CF models share",
    "tune": "experiment=tune",
    "force": "the stage's own command, for the run that is to start anew",
}
"""Settings of single runs, and what stands in for them in an experiment."""


@dataclass(frozen=True)
class SortedOverrides:
    """Overrides by who takes them.

    Attributes:
        own: Of the experiment: its name and its lists.
        launcher: Of Hydra: how the runs of a sweep are started.
        stages: Of each stage; one that several stages know goes to all of them.
    """

    own: list[str] = field(default_factory=list)
    launcher: list[str] = field(default_factory=list)
    stages: dict[str, list[str]] = field(default_factory=lambda: {stage: [] for stage in STAGES})

    def add(self, override: str) -> None:
        """Hand one override on.

        Raises:
            ConfigError: It is not of the form KEY=VALUE, sets what the experiment's lists set, or no stage knows it.
        """
        match = re.match(r"[+~]*([\w/]+)([^=]*)(=|$)", override)
        if match is None:
            raise ConfigError(f"An override should read KEY=VALUE, but is {override!r}.")
        key, rest, _ = match.groups()
        head = key.split("/")[0]
        if head == "hydra":
            self.launcher.append(override)
        elif not rest and key in OWN:
            self.own.append(override)
        elif not rest and key in SWEPT:
            raise ConfigError(f"An experiment sets {key} itself; instead of {override} give {SWEPT[key]}.")
        else:
            takers = [stage for stage, schema in STAGES.items() if head in {entry.name for entry in fields(schema)}]
            if not takers:
                raise ConfigError(
                    f"Neither the experiment nor any stage has a setting {head!r} ({override}); "
                    "`python main_train_classifier.py --help` lists those of the classifier."
                )
            for stage in takers:
                self.stages[stage].append(override)


def sort_overrides(overrides: Sequence[str]) -> SortedOverrides:
    """Hand each override to the experiment, to Hydra, or to the stages that have such a setting."""
    result = SortedOverrides()
    for override in overrides:
        result.add(override)
    return result
