"""Stage 1: raw tables and images become one checked, prepared dataset.

python main_prepare_dataset.py dataset=emoji
"""

from typing import Any

import hydra
from omegaconf import DictConfig

from src.config import register_configs
from src.entry import run_stage

register_configs()


@hydra.main(version_base="1.3", config_path="configs", config_name="prepare_dataset")
def main(cfg: DictConfig) -> dict[str, Any]:
    """Prepare one dataset and return the counts of what it holds."""
    from src.data.prepare import prepare_dataset  # after the config was checked, so that ``--help`` answers at once

    return run_stage(prepare_dataset, cfg)


if __name__ == "__main__":
    main()
