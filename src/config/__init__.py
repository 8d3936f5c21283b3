"""Schemas of every config: an unknown or mistyped key fails when the command starts, before anything is read.

Light on purpose: importing this package must not import torch, so that ``--help`` and a bad config answer at once.
"""

from functools import cache
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from src.config.classifiers import (
    AdamWCosineConfig,
    AugmentationConfig,
    BackboneConfig,
    ConfidenceConfig,
    LossConfig,
    MethodConfig,
    OptimizerConfig,
    PhaseConfig,
    SearchConfig,
    SGDMultistepConfig,
    TrainerConfig,
)
from src.config.datasets import AmazonConfig, DatasetConfig, MovieLensConfig, PinterestConfig, TabularConfig
from src.config.recommenders import (
    BPRConfig,
    CF2LabelConfig,
    CornacConfig,
    IALSConfig,
    JointConfig,
    MostPopularConfig,
    RecommenderConfig,
    VAEConfig,
)
from src.config.stages import (
    ClassifierTrainingConfig,
    DownloadConfig,
    EvaluateConfig,
    ExperimentConfig,
    PredictConfig,
    PrepareConfig,
    RecommenderTrainingConfig,
)
from src.errors import ConfigError

__all__ = [
    "AdamWCosineConfig",
    "AmazonConfig",
    "AugmentationConfig",
    "BPRConfig",
    "BackboneConfig",
    "CF2LabelConfig",
    "ClassifierTrainingConfig",
    "ConfidenceConfig",
    "CornacConfig",
    "DatasetConfig",
    "DownloadConfig",
    "EvaluateConfig",
    "ExperimentConfig",
    "IALSConfig",
    "JointConfig",
    "LossConfig",
    "MethodConfig",
    "MostPopularConfig",
    "MovieLensConfig",
    "OptimizerConfig",
    "PhaseConfig",
    "PinterestConfig",
    "PredictConfig",
    "PrepareConfig",
    "RecommenderConfig",
    "RecommenderTrainingConfig",
    "SGDMultistepConfig",
    "SearchConfig",
    "TabularConfig",
    "TrainerConfig",
    "STAGES",
    "VAEConfig",
    "check_choice",
    "register_configs",
    "to_dataclass",
]


STAGES: dict[str, type] = {
    "prepare_dataset": PrepareConfig,
    "train_recommender": RecommenderTrainingConfig,
    "train_classifier": ClassifierTrainingConfig,
    "predict_testset": PredictConfig,
    "evaluate_methods": EvaluateConfig,
}
"""Schema of each stage; ``main_<stage>.py`` runs it and ``configs/<stage>.yaml`` composes it."""


@cache
def register_configs() -> None:
    """Make the schemas known to Hydra; the YAML files of ``configs/`` name them in their defaults lists."""
    store = ConfigStore.instance()
    groups: dict[str, dict[str, type]] = {
        "dataset": {
            "tabular": TabularConfig,
            "amazon": AmazonConfig,
            "movielens": MovieLensConfig,
            "pinterest": PinterestConfig,
        },
        "recommender": {
            "most_popular": MostPopularConfig,
            "vae": VAEConfig,
            "bpr": BPRConfig,
            "ials": IALSConfig,
            "cornac": CornacConfig,
            "joint": JointConfig,
        },
        "backbone": {"backbone": BackboneConfig},
        "method": {"method": MethodConfig},
        "optimizer": {"sgd_multistep": SGDMultistepConfig, "adamw_cosine": AdamWCosineConfig},
        "trainer": {"trainer": TrainerConfig},
    }
    for name, schema in {**STAGES, "run_experiment": ExperimentConfig}.items():
        store.store(name=f"base_{name}", node=schema)
    for group, schemas in groups.items():
        for name, schema in schemas.items():
            store.store(group=group, name=f"base_{name}", node=schema)
    # Hydra copies the whole store for each group that --help names, and copies what it loads from it again: sharing the
    # store takes two thirds off the answer's time.
    ConfigStore.__deepcopy__ = lambda store, memo: store  # type: ignore[attr-defined]


def to_dataclass(cfg: DictConfig) -> Any:
    """Turn a composed config into its dataclass; raises ``ConfigError`` when a value is missing."""
    missing = OmegaConf.missing_keys(cfg)
    if missing:
        raise ConfigError(
            f"No value for {', '.join(sorted(missing))}; set each on the command line or in its YAML file."
        )
    return OmegaConf.to_object(cfg)


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise ``ConfigError`` unless ``value`` is one of ``allowed``."""
    if value not in allowed:
        raise ConfigError(f"{name} should be one of {', '.join(allowed)}, but is {value!r}.")
