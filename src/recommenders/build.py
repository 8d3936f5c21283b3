"""From a recommender's config to the model."""

from typing import Any

from src.config import (
    BPRConfig,
    CornacConfig,
    IALSConfig,
    JointConfig,
    MostPopularConfig,
    RecommenderConfig,
    TrainerConfig,
    VAEConfig,
)
from src.errors import ConfigError
from src.recommenders.base import Recommender


def build_recommender(cfg: RecommenderConfig, trainer: TrainerConfig) -> Recommender:
    """Build the model that ``cfg`` describes; imports only what it needs.

    Raises:
        ConfigError: ``cfg`` is of no known kind, or out of range.
    """
    check_recommender(cfg)
    match cfg:
        case VAEConfig():
            from src.recommenders.vae_training import VAERecommender

            return VAERecommender(cfg, trainer)
        case BPRConfig() | CornacConfig():
            from src.recommenders.cornac_adapter import CornacRecommender, bpr_config

            return CornacRecommender(bpr_config(cfg) if isinstance(cfg, BPRConfig) else cfg)
        case IALSConfig():
            from src.recommenders.ials import IALS

            return IALS(cfg)
        case JointConfig():
            from src.recommenders.joint import JointRecommender

            return JointRecommender({name: build_recommender(part, trainer) for name, part in cfg.parts.items()})
        case MostPopularConfig():
            from src.recommenders.most_popular import MostPopular

            return MostPopular()
    raise ConfigError(
        f"recommender should be one of configs/recommender/*.yaml, each based on the vae, bpr, ials, cornac, joint or "
        f"most_popular schema, but is {cfg!r}."
    )


def check_recommender(cfg: Any) -> None:
    """Raise ``ConfigError`` for a setting out of range, before anything is read."""
    if not 0 < cfg.auc_holdout < 1:
        raise ConfigError(f"recommender.auc_holdout should lie between 0 and 1, but is {cfg.auc_holdout}.")
    if isinstance(cfg, JointConfig):
        if len(cfg.parts) < 2:
            raise ConfigError(f"recommender.parts should hold at least two CF models, but holds {list(cfg.parts)}.")
        for part in cfg.parts.values():
            check_recommender(part)
    for name in ("n_factors", "latent_size", "batch_size", "max_steps", "max_iter"):
        if getattr(cfg, name, 1) < 1:
            raise ConfigError(f"recommender.{name} should be at least 1, but is {getattr(cfg, name)}.")
    for name in ("dropout", "averaged_share"):
        if not 0 <= getattr(cfg, name, 0) < 1:
            raise ConfigError(f"recommender.{name} should be at least 0 and below 1, but is {getattr(cfg, name)}.")
