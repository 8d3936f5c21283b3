"""Train a CF model and export its item vectors: python main_train_recommender.py dataset=emoji recommender=vae."""

from typing import Any

import hydra
from omegaconf import DictConfig

from src.entry import run_stage, start


@hydra.main(version_base="1.3", config_path="configs", config_name="train_recommender")
def main(cfg: DictConfig) -> dict[str, Any]:
    """Compose the config, run the stage, return its metrics."""
    from src.cf2label.precheck import train_and_check  # heavy imports only once the config is known to be good
    from src.recommenders.tuning import tune_recommender

    return run_stage(tune_recommender if cfg.tune else train_and_check, cfg)


if __name__ == "__main__":
    start(main)
