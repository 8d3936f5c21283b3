"""The pipeline on the tiny planted dataset, as tests drive it: composed from ``configs/`` like a command."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from src import entry
from src.cf2label.precheck import train_and_check
from src.classifiers.tuning import train_or_tune
from src.data.preparation.prepare import prepare_dataset
from src.deployment.stages import predict, use_model
from src.evaluation.evaluate import evaluate
from src.experiments.steps import compose_once
from src.files import PROJECT

ROOT, CONFIGS = PROJECT, entry.CONFIGS
STAGES = {
    "prepare_dataset": prepare_dataset,
    "train_recommender": train_and_check,
    "train_classifier": train_or_tune,
    "predict_testset": predict,
    "use_model": use_model,
    "evaluate_methods": evaluate,
}
SMALL_RECOMMENDER = (
    "recommender.beta=0.01",
    "recommender.max_steps=60",
    "recommender.batch_size=64",
    "recommender.n_factors=8",
)
SMALL_CLASSIFIER = (
    "backbone=timm",
    "backbone.architecture=test_resnet",
    "image_size=24",
    "batch_size=16",
    "epochs=2",
    "lr=0.01",
    "cf2label.max_steps=60",
    "loggers=[]",
)


def compose_config(config_name: str, *overrides: str) -> Any:
    """The config dataclass of an entry script called with ``overrides``."""
    return entry.compose_config(config_name, overrides)


def slow_but(values: Iterable[Any], *fast: Any) -> list[Any]:
    """Parameters of a test, all but ``fast`` marked as slow."""
    return [value if value in fast else pytest.param(value, marks=pytest.mark.slow) for value in values]


@dataclass(frozen=True)
class Pipeline:
    """A dataset in the tabular format and its outputs folder."""

    raw_dir: Path
    outputs_dir: Path

    def overrides(self, stage: str) -> list[str]:
        """What every command of ``stage`` on this dataset is called with."""
        if stage == "evaluate_methods":
            return [
                "dataset=tabular",
                "dataset.name=tiny",
                f"outputs_dir={self.outputs_dir}",
                "n_resamples=200",
                "n_permutations=200",
            ]
        common = [
            "dataset=tabular",
            "dataset.name=tiny",
            f"dataset.raw_dir={self.raw_dir}",
            "dataset.store_size=32",
            f"outputs_dir={self.outputs_dir}",
        ]
        common.append("figures=false" if stage == "prepare_dataset" else "trainer.progress_bar=false")
        if stage in ("train_recommender", "train_classifier"):
            common += SMALL_RECOMMENDER
        return [*common, *SMALL_CLASSIFIER] if stage == "train_classifier" else common

    def config(self, stage: str, *overrides: str) -> Any:
        """The config of a stage; ``overrides`` come after those of ``self.overrides``."""
        given = [*self.overrides(stage), *overrides]
        given.remove(f"outputs_dir={self.outputs_dir}")  # each test has its own
        return replace(deepcopy(compose_once(stage, tuple(given))), outputs_dir=str(self.outputs_dir))

    def run(self, stage: str, *overrides: str) -> dict[str, Any]:
        """Run a stage and return its metrics."""
        return STAGES[stage](self.config(stage, *overrides))

    def classify(self, method: str, *overrides: str) -> dict[str, Any]:
        """Train one method."""
        return self.run("train_classifier", f"method={method}", *overrides)

    def at(self, outputs_dir: Path) -> "Pipeline":
        """The same dataset with another outputs folder."""
        return replace(self, outputs_dir=outputs_dir)

    def runs(self, method: str) -> list[Path]:
        """Directories of all runs of a method."""
        folder = self.outputs_dir / "tiny" / "classifier" / method
        return sorted(path for path in folder.glob("[!.]*") if path.is_dir())
