"""Predict the test set of every finished run of a study: python main_predict_testset.py dataset=emoji."""

from typing import Any

import hydra
from omegaconf import DictConfig

from src.entry import run_stage, start


@hydra.main(version_base="1.3", config_path="configs", config_name="predict_testset")
def main(cfg: DictConfig) -> dict[str, Any]:
    """Compose the config, run the stage, return its metrics."""
    from src.deployment.stages import predict  # heavy imports only once the config is known to be good

    return run_stage(predict, cfg)


if __name__ == "__main__":
    start(main)
