"""The run of a CF model, for the stage that writes it and the stages that read it; imports no torch."""

from pathlib import Path
from typing import Any

from src.artifacts import SEEN_HELD_OUT
from src.config.overrides import command
from src.config.setting import identity
from src.config.stages import RecommenderTrainingConfig, StageConfig
from src.errors import ConfigError
from src.runs import Run, plain

RECOMMENDER = "recommender"


def recommender_run(cfg: RecommenderTrainingConfig, interactions_digest: str) -> Run:
    """One fit of a CF model; ``interactions_digest`` is the SHA-256 of the interactions that it sees."""
    settings = {"fold": cfg.fold, "seed": cfg.seed} | ({"leaks": f"[{','.join(cfg.leaks)}]"} if cfg.leaks else {})
    return Run(
        parent=dataset_dir(cfg) / RECOMMENDER / cfg.recommender.name,
        name=f"fold{cfg.fold}-seed{cfg.seed}",
        settings=identity(cfg),
        inputs={"interactions": interactions_digest, **cfg.recommender.inputs(cfg)},
        command=command("train_recommender", cfg.called_with, settings),
    )


def require_vectors(cfg: RecommenderTrainingConfig) -> None:
    """Raise ``ConfigError`` for a CF model without item vectors."""
    if not cfg.recommender.has_vectors:
        raise ConfigError(
            f"recommender={cfg.recommender.name} has no item vectors; set recommender=vae, or another with vectors."
        )


def table_name(recommender: Any) -> str:
    """A CF model's name in tables, which says so where its vectors know the users of held-out items."""
    settings = plain(recommender)
    return str(settings["name"]) + (SEEN_HELD_OUT if "{fold}" not in settings.get("file", "{fold}") else "")


def dataset_dir(cfg: StageConfig) -> Path:
    """Folder of a stage's dataset."""
    return Path(cfg.outputs_dir) / cfg.dataset.name
