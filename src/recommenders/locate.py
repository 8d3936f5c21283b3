"""Where a CF model's run lies: shared by the stage that writes it and the stages that read it; imports no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.artifacts import VECTORS_FILE, ItemVectors
from src.config import MostPopularConfig, RecommenderConfig
from src.errors import ArtifactError, ConfigError
from src.runs import is_finished, plain, run_directory

RECOMMENDER = "recommender"


def recommender_definition(
    recommender: RecommenderConfig, fold: int, seed: int, interactions_digest: str
) -> Mapping[str, Any]:
    """What defines a CF model's vectors: its config, fold and seed, and the interactions it may see."""
    settings = {"recommender": plain(recommender), "fold": fold, "seed": seed}
    return {"settings": settings, "inputs": {"interactions": interactions_digest}}


def recommender_parent(outputs_dir: str | Path, dataset_name: str, recommender: RecommenderConfig) -> Path:
    """Folder of all runs of one CF model on one dataset."""
    return Path(outputs_dir) / dataset_name / RECOMMENDER / recommender.name


def recommender_run_name(fold: int, seed: int) -> str:
    """Readable part of a run's directory name."""
    return f"fold{fold}-seed{seed}"


def recommender_run_dir(
    outputs_dir: str | Path,
    dataset_name: str,
    recommender: RecommenderConfig,
    *,
    fold: int,
    seed: int,
    interactions_digest: str,
) -> Path:
    """Directory of the run with exactly these settings and inputs, whether it exists or not."""
    parent = recommender_parent(outputs_dir, dataset_name, recommender)
    definition = recommender_definition(recommender, fold, seed, interactions_digest)
    return run_directory(parent, recommender_run_name(fold, seed), definition)


def load_item_vectors(
    outputs_dir: str | Path,
    dataset_name: str,
    recommender: RecommenderConfig,
    *,
    fold: int,
    seed: int,
    interactions_digest: str,
) -> ItemVectors:
    """Read the CF vectors that a classifier with this config needs.

    Raises:
        ConfigError: The CF model has no vectors.
        ArtifactError: The run is missing; the message is the command that makes it.
    """
    if isinstance(recommender, MostPopularConfig):
        raise ConfigError("recommender=most_popular has no item vectors; set recommender=vae, or another with vectors.")
    directory = recommender_run_dir(
        outputs_dir, dataset_name, recommender, fold=fold, seed=seed, interactions_digest=interactions_digest
    )
    if not is_finished(directory):
        raise ArtifactError(
            f"There are no CF vectors of this configuration in {directory}; make them with: python "
            f"main_train_recommender.py dataset={dataset_name} recommender={recommender.name} fold={fold} seed={seed} "
            f"(with the recommender.* settings given here, if any)"
        )
    return ItemVectors.load(directory / VECTORS_FILE)
