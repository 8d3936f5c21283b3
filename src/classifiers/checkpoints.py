"""Checkpoint files: whole or absent when written, checked when read, and the one before is kept to resume from."""

import logging
from pathlib import Path
from typing import IO, Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from src.artifacts import atomic_path, save_text, sha256_of_file
from src.classifiers.network import MultitaskNetwork
from src.errors import ArtifactError

logger = logging.getLogger(__name__)

BEST, LAST, PREVIOUS = "best.ckpt", "last.ckpt", "previous.ckpt"
NETWORK_PREFIX = "network."


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes each checkpoint under a temporary name and renames it: a kill leaves the old one or the new one.

    A file of the same name with ``.sha256`` says what it should hold.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Save ``checkpoint``, tensors and plain values only; the last one before it stays as ``previous.ckpt``."""
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
    """The newest whole checkpoint that training can go on from; None where there is none yet.

    Raises:
        ArtifactError: All there are is damaged.
    """
    present = [directory / name for name in (LAST, PREVIOUS) if (directory / name).is_file()]
    for path in present:
        try:
            load_checkpoint(path)
        except ArtifactError as error:
            if path == present[-1]:
                raise
            logger.warning("%s Going on from the checkpoint before it.", error)
        else:
            return path
    return None


def drop_previous(directory: Path) -> None:
    """Delete what only an interrupted run needs."""
    for path in (directory / PREVIOUS, _digest_path(directory / PREVIOUS)):
        path.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without executing code.

    Raises:
        ArtifactError: It is missing or damaged.
    """
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist; train the run first.")
    if _digest_path(path).is_file():
        expected, found = _digest_path(path).read_text().strip(), sha256_of_file(path)
        if found != expected:
            raise ArtifactError(
                f"{path} is damaged: its SHA-256 should be {expected}, but is {found}; delete it, or start the run "
                "anew with force=true."
            )
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


def _write(checkpoint: dict[str, Any], stream: IO[bytes]) -> None:
    """To a stream, since a path's name would become part of the file."""
    try:
        torch.save(checkpoint, stream)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):  # a full disk, which torch reports as a defect of its own
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
