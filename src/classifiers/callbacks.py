"""What happens at the end of each epoch: learning curves that survive a resume, and checkpoints."""

import csv
import io
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from src.artifacts import CURVES_FILE, save_text
from src.classifiers.module import SELECTION_METRIC, MultitaskModule


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


def checkpoint_callbacks(directory: Path) -> list[Callback]:
    """Save the weights of the epoch that validation likes best, and all that resuming needs, at each epoch's end.

    The best comes first, so that the last checkpoint knows its score.
    """
    common: dict[str, Any] = {"dirpath": directory, "enable_version_counter": False, "save_on_train_epoch_end": True}
    best = ModelCheckpoint(filename="best", monitor=SELECTION_METRIC, mode="max", save_weights_only=True, **common)
    last = ModelCheckpoint(filename="last", every_n_epochs=1, **common)
    return [CurveRecorder(directory), best, last]
