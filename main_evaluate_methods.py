"""Compare methods on the test set: python main_evaluate_methods.py dataset=emoji (or dataset=all)."""

from typing import Any

import hydra
from omegaconf import DictConfig

from src.entry import run_stage, start


@hydra.main(version_base="1.3", config_path="configs", config_name="evaluate_methods")
def main(cfg: DictConfig) -> dict[str, Any]:
    """Compose the config, run the stage, return its metrics."""
    from src.evaluation.evaluate import evaluate  # heavy imports only once the config is known to be good

    return run_stage(evaluate, cfg)


if __name__ == "__main__":
    start(main)
