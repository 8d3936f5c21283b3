"""Checkpoint files: whole or absent when written, checked when read."""

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from src.artifacts import atomic_path
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


def check_definition(checkpoint: dict[str, Any], definition_hash: str) -> None:
    """Raise ``ArtifactError`` unless the checkpoint was written by the run of this definition."""
    found = checkpoint.get("definition_hash")
    if found != definition_hash:
        raise ArtifactError(
            f"The checkpoint belongs to another config (definition {found}, expected {definition_hash}); "
            "delete the run's directory, or start with force=true."
        )
