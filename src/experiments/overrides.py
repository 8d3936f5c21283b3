"""Overrides of an experiment's command line, handed to the stages that know them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from src.config.overrides import head, is_known, parse
from src.config.setting import closest
from src.config.stages import ExperimentConfig
from src.config.store import SCHEMAS, STAGE
from src.errors import ConfigError

STAGES = ("prepare_dataset", "train_recommender", "train_classifier", "predict_testset", "evaluate_methods")
"""Stages that an experiment runs."""

OWN = {"experiment", *(entry.name for entry in fields(ExperimentConfig))}
SWEPT = {
    "fold": "folds=[0,1]",
    "seed": "seeds=[0,1]",
    "method": "methods=[image_only,mtl_uniform]",
    "label_ratio": "label_ratios=[0.2,1.0]",
    "alpha": "alphas=[0.1,1.0]",
    "force": "the stage's own command, for the run that is to start anew",
}
"""Settings of single runs, and what to give in an experiment instead."""


@dataclass(frozen=True)
class SortedOverrides:
    """Overrides of the experiment (``own``), of Hydra (``launcher``), and of each stage that has the setting."""

    own: list[str] = field(default_factory=list)
    launcher: list[str] = field(default_factory=list)
    stages: dict[str, list[str]] = field(default_factory=lambda: {stage: [] for stage in STAGES})


def sort_overrides(overrides: Sequence[str]) -> SortedOverrides:
    """Hand each override to the experiment, to Hydra, or to the stages that have such a setting.

    Raises:
        ConfigError: The experiment's lists set it, or no stage has such a setting.
    """
    result = SortedOverrides()
    for override in parse(overrides):
        key, name, text = override.key_or_group, head(override), str(override.input_line)
        takers = [stage for stage in STAGES if is_known(stage, override)]
        if name == "hydra":
            result.launcher.append(text)
        elif key in OWN:
            result.own.append(text)
        elif key in SWEPT:
            raise ConfigError(f"An experiment sets {key} itself; instead of {text} give {SWEPT[key]}.")
        elif not takers:
            known = {*OWN, *(entry.name for stage in STAGES for entry in fields(SCHEMAS[STAGE][stage]))}
            raise ConfigError(
                f"Neither the experiment nor any stage has a setting {name!r} ({text})"
                f"{closest(name, sorted(known)) or '; docs/settings.md lists them.'}"
            )
        else:
            for stage in takers:
                result.stages[stage].append(text)
    return result
