"""Checkpoints that are whole or absent, and learning curves that survive a resume."""

import csv
import io
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from src.artifacts import CURVES_FILE, atomic_path, save_text
from src.classifiers.module import SELECTION_METRIC, MultitaskModule, check_definition
from src.classifiers.network import MultitaskNetwork
from src.errors import ArtifactError

BEST, LAST = "best.ckpt", "last.ckpt"
NETWORK_PREFIX = "network."


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes each checkpoint under a temporary name and renames it: a kill leaves the old one or the new one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Save ``checkpoint``, tensors and plain values only."""
        with atomic_path(Path(path)) as temporary, temporary.open("wb") as stream:
            torch.save(checkpoint, stream)  # a stream, since a path's name would become part of the file

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Load without executing code; raises ``ArtifactError`` when the file is damaged."""
        return load_checkpoint(Path(path))


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


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without executing code.

    Raises:
        ArtifactError: It is missing or damaged.
    """
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist; train the run first.")
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in many ways; the cause is chained
        raise ArtifactError(
            f"{path} cannot be read ({error}); delete it, or start the run anew with force=true."
        ) from error
    return checkpoint


def load_weights(network: MultitaskNetwork, path: Path, definition_hash: str) -> None:
    """Load a run's best weights into its network.

    Raises:
        ArtifactError: The checkpoint is missing, damaged, or of another config.
    """
    checkpoint = load_checkpoint(path)
    check_definition(checkpoint, definition_hash)
    state = {
        name.removeprefix(NETWORK_PREFIX): value
        for name, value in checkpoint["state_dict"].items()
        if name.startswith(NETWORK_PREFIX)
    }
    network.load_state_dict(state)
