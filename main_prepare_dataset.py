"""Raw tables and images become one checked, prepared dataset: python main_prepare_dataset.py dataset=emoji."""

from typing import Any

import hydra
from omegaconf import DictConfig

from src.entry import run_stage, start


@hydra.main(version_base="1.3", config_path="configs", config_name="prepare_dataset")
def main(cfg: DictConfig) -> dict[str, Any]:
    """Compose the config, run the stage, return its metrics."""
    from src.data.preparation.prepare import prepare_dataset  # heavy imports only once the config is known to be good

    return run_stage(prepare_dataset, cfg)


if __name__ == "__main__":
    start(main)
