"""Where curves go beside ``metrics.csv``: loggers by name, each imported only when asked for."""

import importlib
import time
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from src.config import ClassifierTrainingConfig, check_choice
from src.errors import ConfigError

LOGGERS = ("tensorboard", "mlflow", "wandb")


def build_loggers(cfg: ClassifierTrainingConfig, directory: Path) -> list[Logger]:
    """The loggers that ``cfg.loggers`` names.

    TensorBoard and Weights & Biases write into the run's directory (``WANDB_MODE=offline`` sends nothing); MLflow
    writes where ``MLFLOW_TRACKING_URI`` says.

    Raises:
        ConfigError: A name is unknown, or its package is not installed.
    """
    loggers: list[Logger] = []
    for name in cfg.loggers:
        check_choice("loggers", name, LOGGERS)
        _require(name)
        module: Any = importlib.import_module("lightning.pytorch.loggers")
        experiment, run = f"{cfg.dataset.name}-{cfg.study}", f"{directory.parent.name}/{directory.name}"
        if name == "tensorboard":
            loggers.append(module.TensorBoardLogger(directory, name="", version="tensorboard"))
        elif name == "mlflow":
            loggers.append(module.MLFlowLogger(experiment_name=experiment, run_name=run))
        else:
            run_id = directory.name.rsplit("-", 1)[1]
            loggers.append(module.WandbLogger(project=experiment, name=run, id=run_id, save_dir=directory))
    return loggers


class Throughput(Callback):
    """Logs training images a second of each epoch; to loggers only, since ``metrics.csv`` repeats exactly."""

    def __init__(self) -> None:
        self._images = 0
        self._started = 0.0

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start counting."""
        self._images, self._started = 0, time.perf_counter()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a batch."""
        self._images += trainer.world_size * len(batch["images"])

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log the rate when the epoch's training ends."""
        rate = self._images / (time.perf_counter() - self._started)
        for logger in trainer.loggers:
            logger.log_metrics({"train/images_a_second": rate}, step=trainer.global_step)


def _require(name: str) -> None:
    try:
        importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"loggers={name} needs the package {name}; install it: pip install {name}") from error
