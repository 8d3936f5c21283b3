"""Label new images with a trained model, or export it: python main_use_model.py dataset=emoji images=FOLDER."""

from typing import Any

import hydra
from omegaconf import DictConfig

from src.entry import run_stage, start


@hydra.main(version_base="1.3", config_path="configs", config_name="use_model")
def main(cfg: DictConfig) -> dict[str, Any]:
    """Compose the config, run the stage, return its metrics."""
    from src.deployment.stages import use_model  # heavy imports only once the config is known to be good

    return run_stage(use_model, cfg)


if __name__ == "__main__":
    start(main)
