"""Loggers of curves beside ``metrics.csv``, by name."""

import importlib
from pathlib import Path
from typing import Any

from lightning.pytorch import loggers
from lightning.pytorch.loggers import Logger

from src.config.stages import ClassifierTrainingConfig
from src.errors import ConfigError


def build_loggers(cfg: ClassifierTrainingConfig, directory: Path) -> list[Logger]:
    """The loggers that ``cfg.loggers`` names.

    TensorBoard and Weights & Biases write into the run's directory (``WANDB_MODE=offline`` sends nothing); MLflow
    writes to ``MLFLOW_TRACKING_URI``.

    Raises:
        ConfigError: A logger's package is not installed.
    """
    experiment, run = f"{cfg.dataset.name}-{cfg.study}", f"{directory.parent.name}/{directory.name}"
    wandb = {"project": experiment, "name": run, "id": directory.name.rsplit("-", 1)[1], "save_dir": directory}
    known: dict[str, tuple[Any, dict[str, Any]]] = {
        "tensorboard": (loggers.TensorBoardLogger, {"save_dir": directory, "name": "", "version": "tensorboard"}),
        "mlflow": (loggers.MLFlowLogger, {"experiment_name": experiment, "run_name": run}),
        "wandb": (loggers.WandbLogger, wandb),
    }
    for name in cfg.loggers:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(f"loggers={name} needs the package {name}; install it: pip install {name}") from error
    return [known[name][0](**known[name][1]) for name in cfg.loggers]
