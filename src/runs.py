"""Runs: named by settings and inputs, locked while written, skipped when finished, resumed when not."""

import contextlib
import hashlib
import json
import logging
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, Union

from filelock import FileLock, Timeout

from src.artifacts import MANIFEST_FILE, METRICS_FILE
from src.errors import ArtifactError
from src.files import load_json, save_json
from src.machine import peak_memory

logger = logging.getLogger(__name__)

PACKAGES = ("torch", "torchvision", "lightning", "timm", "cornac", "numpy", "pandas", "scikit-learn", "pillow")


@dataclass(eq=False)
class Run:
    """One run of a stage, whether it exists or not.

    ``manifest.json`` is written last and marks a finished run. A directory without it was interrupted; its stage
    resumes it.

    Attributes:
        parent: Folder of all runs of its kind.
        name: Readable part of its directory's name, which ends in a hash of settings and inputs.
        settings: The settings that name it, as ``identity`` returns them.
        inputs: Other runs, or digests of data, that it uses.
        command: The command that makes it.
    """

    parent: Path
    name: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, Union["Run", str]]
    command: str
    _started: float = field(default=0.0, init=False)

    @cached_property
    def definition(self) -> dict[str, Any]:
        """What defines the result, as plain values: ``settings``, and ``inputs`` by directory name or digest."""
        inputs = {kind: made.directory.name if isinstance(made, Run) else made for kind, made in self.inputs.items()}
        return {"settings": self.settings, "inputs": inputs}

    @cached_property
    def directory(self) -> Path:
        """Its directory."""
        return self.parent / f"{self.name}-{content_hash(self.definition)[:8]}"

    @property
    def finished(self) -> bool:
        """Whether it is complete."""
        return is_finished(self.directory)

    def require(self) -> Path:
        """Its directory; raises ``ArtifactError`` with the command that makes it unless it is finished."""
        if not self.finished:
            raise ArtifactError(f"{self.directory} is needed, but is not finished; make it with: {self.command}")
        return self.directory

    @contextlib.contextmanager
    def locked(self, *, force: bool = False) -> Iterator[None]:
        """Lock the directory while it is written; ``force`` makes it anew beside the old one, which any error leaves.

        A second process with the same run waits, and then finds it finished. Of a multi-device run's processes only the
        first one locks.
        """
        directory = self.directory
        new, old = (self.parent / kind / directory.name for kind in (".new", ".old"))  # no glob finds runs there
        if force:
            self.directory = new
        try:
            if not is_primary_process():
                yield
                return
            self.parent.mkdir(parents=True, exist_ok=True)
            with waiting_lock(self.parent / f".{directory.name}.lock", directory):
                if old.exists() and not directory.exists():  # a process was killed while it replaced the old one
                    old.rename(directory)
                for leftover in (new, old):
                    shutil.rmtree(leftover, ignore_errors=True)
                self.directory.mkdir(parents=True, exist_ok=True)
                self._warn_of_stale_runs()
                self._started = time.monotonic()
                try:
                    yield
                    if force and self.finished:
                        old.parent.mkdir(exist_ok=True)
                        replace_folder(directory, new, old)
                finally:
                    shutil.rmtree(new, ignore_errors=True)
        finally:
            self.directory = directory

    def metrics(self) -> dict[str, Any]:
        """The metrics of a finished run."""
        return load_json(self.directory / METRICS_FILE)

    def finish(self, config: Any, metrics: dict[str, Any]) -> dict[str, Any]:
        """Write the metrics, then the manifest that marks the run as finished; returns the metrics."""
        save_json(self.directory / METRICS_FILE, metrics)
        save_json(self.directory / MANIFEST_FILE, build_manifest(config, self.definition, self._started))
        return metrics

    def _warn_of_stale_runs(self) -> None:
        for sibling in sorted(self.parent.glob(f"{self.name}-*")):
            if sibling.name == self.directory.name or not is_finished(sibling):
                continue
            other, own = load_json(sibling / MANIFEST_FILE)["definition"], self.definition
            if other.get("settings") == json.loads(json.dumps(own["settings"])):
                differing = [name for name, value in own["inputs"].items() if other["inputs"].get(name) != value]
                logger.warning(
                    "%s has the same settings but other inputs (%s); it is stale, unless they were meant to differ, "
                    "as with another CF model.",
                    *(sibling, ", ".join(differing)),
                )


def content_hash(content: Any) -> str:
    """SHA-256 of plain nested values as canonical JSON, as hex."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def plain(config: Any) -> Any:
    """A config dataclass as nested plain values."""
    return asdict(config) if is_dataclass(config) and not isinstance(config, type) else config


def build_manifest(config: Any, definition: Mapping[str, Any], started: float) -> dict[str, Any]:
    """Content of ``manifest.json``: definition, config, versions, time and memory.

    ``started`` is ``time.monotonic()`` at the start of the stage.
    """
    return {
        "definition": definition,
        "config": plain(config),
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "wall_clock_s": round(time.monotonic() - started, 1),
        "peak_memory_mb": round(peak_memory() / 2**20),
    }


def is_primary_process() -> bool:
    """Whether this is the only process of a run, or the first one of a multi-device run."""
    rank = os.environ.get("RANK", os.environ.get("SLURM_PROCID", os.environ.get("LOCAL_RANK", "0")))
    return int(rank) == 0


def is_finished(directory: Path) -> bool:
    """Whether the run in ``directory`` is complete."""
    return (directory / MANIFEST_FILE).is_file()


@contextlib.contextmanager
def waiting_lock(path: Path, what: Path) -> Iterator[None]:
    """Hold a lock; log it when another process has it."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info("Another process works on %s; waiting for it.", what)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def replace_folder(directory: Path, new: Path, old: Path) -> None:
    """Let ``new`` take the place of ``directory``, if there is one, which is ``old`` in between."""
    if directory.exists():
        directory.rename(old)
    new.rename(directory)
    shutil.rmtree(old, ignore_errors=True)


def _git_commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
