"""What happens at the end of each epoch: learning curves that survive a resume, and checkpoints."""

import csv
import io
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, EarlyStopping, EMAWeightAveraging, ModelCheckpoint

from src.artifacts import CURVES_FILE, save_text
from src.classifiers.module import SELECTION_METRIC, MultitaskModule
from src.config import ClassifierTrainingConfig
from src.errors import ConfigError


class CurveRecorder(Callback):
    """Keeps one row of curves an epoch in the checkpoint, and writes them all as CSV at each epoch's end."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / CURVES_FILE
        self._rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Add the epoch that has ended."""
        assert isinstance(pl_module, MultitaskModule)
        row = pl_module.curve_row()
        pl_module.log_dict({name: value for name, value in row.items() if name != "epoch"}, rank_zero_only=True)
        self._rows = [*self._rows, row]
        if not trainer.is_global_zero:
            return
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        table = io.StringIO()
        writer = csv.DictWriter(table, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        save_text(self._path, table.getvalue())

    def state_dict(self) -> dict[str, Any]:
        """The rows so far."""
        return {"rows": self._rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the rows of a checkpoint."""
        self._rows = state_dict["rows"]


def training_aids(cfg: ClassifierTrainingConfig) -> list[Callback]:
    """A moving average of the weights, and an end before the last epoch, where the config asks for them.

    With ``ema_decay`` validation and the checkpoints' ``state_dict`` have the averaged weights.

    Raises:
        ConfigError: The decay is not below 1, or early stopping would end the first of several phases.
    """
    aids: list[Callback] = []
    if cfg.ema_decay:
        if not 0 < cfg.ema_decay < 1:
            raise ConfigError(f"ema_decay should be in [0, 1), but is {cfg.ema_decay}.")
        aids.append(EMAWeightAveraging(decay=cfg.ema_decay))
    patience, n_phases = cfg.early_stopping, len(cfg.method.phases)
    if patience is not None:
        if n_phases > 1 or patience < 1:
            raise ConfigError(
                "early_stopping should be at least 1 epoch, and the method have one phase, but it is "
                f"{patience} and {cfg.method.name} has {n_phases}."
            )
        aids.append(EarlyStopping(SELECTION_METRIC, mode="max", patience=patience, check_on_train_epoch_end=True))
    return aids


def checkpoint_callbacks(directory: Path, *, averaged: bool = False) -> list[Callback]:
    """Save the weights of the epoch that validation likes best, and all that resuming needs, at each epoch's end.

    The best comes first, so that the last checkpoint knows its score. Where weights are ``averaged`` it holds all,
    since Lightning puts averaged weights into full checkpoints only.
    """
    common: dict[str, Any] = {"dirpath": directory, "enable_version_counter": False, "save_on_train_epoch_end": True}
    best = ModelCheckpoint(
        filename="best", monitor=SELECTION_METRIC, mode="max", save_weights_only=not averaged, **common
    )
    last = ModelCheckpoint(filename="last", every_n_epochs=1, **common)
    return [CurveRecorder(directory), best, last]
