"""Callbacks: learning curves that survive a resume, checkpoints, early stopping."""

from pathlib import Path
from typing import Any

import lightning
import pandas as pd
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from src.artifacts import CURVES_FILE
from src.classifiers.training.module import SELECTION_METRIC, MultitaskModule
from src.config.stages import ClassifierTrainingConfig
from src.errors import ConfigError
from src.files import save_text


class CurveRecorder(Callback):
    """Writes the learning curves, a row for each epoch, as CSV, and keeps them in the checkpoint."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / CURVES_FILE
        self._rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Add the epoch that has ended."""
        assert isinstance(pl_module, MultitaskModule)
        row = pl_module.curve_row()
        pl_module.log_dict({name: value for name, value in row.items() if name != "epoch"}, rank_zero_only=True)
        self._rows = [*self._rows, row]
        if trainer.is_global_zero:
            save_text(self._path, pd.DataFrame(self._rows).to_csv(index=False))

    def state_dict(self) -> dict[str, Any]:
        """The rows so far."""
        return {"rows": self._rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the rows of a checkpoint."""
        self._rows = state_dict["rows"]


def build_callbacks(cfg: ClassifierTrainingConfig, directory: Path) -> list[Callback]:
    """Learning curves, checkpoints and, if the config sets it, early stopping.

    Each epoch's end saves the weights if they are the best, and all that a resume needs.

    Raises:
        ConfigError: Early stopping would end the first of several phases.
    """
    callbacks: list[Callback] = []
    patience, n_phases = cfg.early_stopping, len(cfg.method.phases)
    if patience is not None:
        if n_phases > 1:
            raise ConfigError(f"early_stopping needs a method of one phase, but {cfg.method.name} has {n_phases}.")
        callbacks.append(EarlyStopping(SELECTION_METRIC, mode="max", patience=patience, check_on_train_epoch_end=True))
    common: dict[str, Any] = {"dirpath": directory, "enable_version_counter": False, "save_on_train_epoch_end": True}
    best = ModelCheckpoint(filename="best", monitor=SELECTION_METRIC, mode="max", save_weights_only=True, **common)
    last = ModelCheckpoint(filename="last", **common)
    return [*callbacks, CurveRecorder(directory), best, last]  # the last checkpoint contains the best score
