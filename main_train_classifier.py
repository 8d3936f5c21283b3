"""Fine-tune an image classifier, or train CF2Label: python main_train_classifier.py dataset=emoji method=cf_distill."""

from typing import Any

import hydra
from omegaconf import DictConfig

from src.entry import run_stage, start


@hydra.main(version_base="1.3", config_path="configs", config_name="train_classifier")
def main(cfg: DictConfig) -> dict[str, Any]:
    """Compose the config, run the stage, return its metrics."""
    from src.classifiers.tuning import train_or_tune  # heavy imports only once the config is known to be good

    return run_stage(train_or_tune, cfg)


if __name__ == "__main__":
    start(main, find_preset=True)
