"""Train a CF model and export its item vectors: ``python main_train_recommender.py dataset=emoji recommender=vae``."""

from typing import Any

import hydra
from omegaconf import DictConfig

from src.config import RecommenderTrainingConfig, register_configs
from src.entry import run_stage

register_configs()


def train(cfg: RecommenderTrainingConfig) -> dict[str, Any]:
    """Run the stage; torch is imported here, so that ``--help`` and a bad config answer at once."""
    from src.recommenders.train import train_recommender

    return train_recommender(cfg)


@hydra.main(version_base="1.3", config_path="configs", config_name="train_recommender")
def main(cfg: DictConfig) -> dict[str, Any]:
    """Compose the config and run the stage."""
    return run_stage(train, cfg)


if __name__ == "__main__":
    main()
