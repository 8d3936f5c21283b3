"""Checkpoint files: written atomically, verified when read; the previous one is kept to resume from."""

import logging
from pathlib import Path
from typing import IO, Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from src.errors import ArtifactError
from src.files import atomic_path, load, save_text, sha256_of_file

logger = logging.getLogger(__name__)

BEST, LAST, PREVIOUS = "best.ckpt", "last.ckpt", "previous.ckpt"
NETWORK_PREFIX = "network."


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints atomically, each with its SHA-256 in ``<name>.sha256``."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Save tensors and plain values; a replaced ``last.ckpt`` is kept as ``previous.ckpt``."""
        path = Path(path)
        with atomic_path(path) as temporary:
            with temporary.open("wb") as stream:
                _write(checkpoint, stream)
            digest = sha256_of_file(temporary)
            if path.name == LAST and path.is_file():
                for old in (path, _digest_path(path)):
                    if old.is_file():
                        old.replace(path.with_name(old.name.replace(LAST, PREVIOUS)))
            _digest_path(path).unlink(missing_ok=True)  # of the file that is about to be replaced
        save_text(_digest_path(path), f"{digest}\n")

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Load without executing code; raises ``ArtifactError`` when the file is damaged."""
        return load_checkpoint(Path(path))


def find_resumable(directory: Path) -> Path | None:
    """The newest undamaged checkpoint to resume from; None if there is none.

    Raises:
        ArtifactError: All checkpoints are damaged.
    """
    present = [directory / name for name in (LAST, PREVIOUS) if (directory / name).is_file()]
    for path in present:
        try:
            load_checkpoint(path)
        except ArtifactError as error:
            if path == present[-1]:
                raise
            logger.warning("%s Continuing from the checkpoint before it.", error)
        else:
            return path
    return None


def drop_previous(directory: Path) -> None:
    """Delete the previous checkpoint, which a finished run does not need."""
    for path in (directory / PREVIOUS, _digest_path(directory / PREVIOUS)):
        path.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without executing code; raises ``ArtifactError`` when it is missing or damaged."""
    if path.is_file() and _digest_path(path).is_file():
        expected, found = _digest_path(path).read_text().strip(), sha256_of_file(path)
        if found != expected:
            raise ArtifactError(
                f"{path} is damaged: its SHA-256 should be {expected}, but is {found}; delete it, or set force=true."
            )
    return load(path, lambda: torch.load(path, map_location="cpu", weights_only=True))


def network_state(checkpoint: dict[str, Any], definition_hash: str) -> dict[str, torch.Tensor]:
    """The network's state dict in a checkpoint; raises ``ArtifactError`` for a checkpoint of another config."""
    check_definition(checkpoint, definition_hash)
    state = checkpoint["state_dict"].items()
    return {name.removeprefix(NETWORK_PREFIX): value for name, value in state if name.startswith(NETWORK_PREFIX)}


def _write(checkpoint: dict[str, Any], stream: IO[bytes]) -> None:
    """Write to a stream, since torch stores a path's name in the file."""
    try:
        torch.save(checkpoint, stream)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):  # a full disk, which torch hides behind its own error
            raise error.__context__ from None
        raise


def _digest_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def check_definition(checkpoint: dict[str, Any], definition_hash: str) -> None:
    """Raise ``ArtifactError`` unless the checkpoint was written by the run of this definition."""
    found = checkpoint.get("definition_hash")
    if found != definition_hash:
        raise ArtifactError(
            f"The checkpoint belongs to another config (definition {found}, expected {definition_hash}); "
            "delete the run's directory, or start with force=true."
        )
