"""Run directories: named by what defines the result, locked while written, skipped when finished, resumed when not."""

import hashlib
import json
import logging
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from src.artifacts import MANIFEST_FILE, METRICS_FILE, load_json, save_json
from src.machine import peak_memory

logger = logging.getLogger(__name__)

PACKAGES = ("torch", "torchvision", "lightning", "timm", "cornac", "numpy", "pandas", "scikit-learn", "pillow")


def derive_seed(seed: int, *names: object) -> int:
    """A seed in [0, 2^63) that depends on ``seed`` and ``names`` alone, so that no two uses share random numbers."""
    text = "\x1f".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def content_hash(content: Any) -> str:
    """SHA-256 of plain nested values as canonical JSON, as hex."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def plain(config: Any) -> Any:
    """A config dataclass as nested plain values."""
    return asdict(config) if is_dataclass(config) and not isinstance(config, type) else config


def build_manifest(config: Any, definition: Mapping[str, Any], started: float) -> dict[str, Any]:
    """Describe how a stage's files came about.

    Args:
        config: The stage's config dataclass.
        definition: What defines the result: ``settings`` and the digests of the ``inputs``.
        started: ``time.monotonic()`` when the stage began.
    """
    return {
        "definition": definition,
        "config": plain(config),
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "wall_clock_s": round(time.monotonic() - started, 1),
        "peak_memory_mb": round(peak_memory() / 2**20),
    }


def is_primary_process() -> bool:
    """Whether this is the only process of a run, or the first one of a multi-device run."""
    rank = os.environ.get("RANK", os.environ.get("SLURM_PROCID", os.environ.get("LOCAL_RANK", "0")))
    return int(rank) == 0


class Run:
    """One run's directory, held under a lock: ``with Run(...) as run: if not run.finished: ...``.

    A run is finished once its ``manifest.json`` exists, which is written last. A directory without it was interrupted
    and is resumed by its stage. A second process that wants the same run waits, and then finds it finished.
    """

    def __init__(self, parent: Path, name: str, definition: Mapping[str, Any], *, force: bool = False) -> None:
        """Name the directory ``parent/name-<hash of definition>``; ``force`` deletes what is there on entering."""
        self.definition = definition
        self.name = name
        self.directory = run_directory(parent, name, definition)
        self._force = force
        self._lock = FileLock(self.directory.parent / f".{self.directory.name}.lock")
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        """Take the lock, waiting for another process that holds it."""
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        if not is_primary_process():
            return self  # the first process of a multi-device run holds the lock for all
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            logger.info("Another process works on %s; waiting for it.", self.directory)
            self._lock.acquire()
        if self._force and self.directory.exists():
            shutil.rmtree(self.directory)
        self.directory.mkdir(exist_ok=True)
        self._warn_of_stale_runs()
        self._started = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the lock."""
        self._lock.release()

    @property
    def finished(self) -> bool:
        """Whether everything was written."""
        return is_finished(self.directory)

    def metrics(self) -> dict[str, Any]:
        """The metrics of a finished run."""
        metrics: dict[str, Any] = load_json(self.directory / METRICS_FILE)
        return metrics

    def finish(self, config: Any, metrics: dict[str, Any]) -> dict[str, Any]:
        """Write the metrics, then the manifest that marks the run as finished; returns the metrics."""
        save_json(self.directory / METRICS_FILE, metrics)
        save_json(self.directory / MANIFEST_FILE, build_manifest(config, self.definition, self._started))
        return metrics

    def _warn_of_stale_runs(self) -> None:
        for sibling in sorted(self.directory.parent.glob(f"{self.name}-*")):
            if sibling == self.directory or not is_finished(sibling):
                continue
            other, own = load_json(sibling / MANIFEST_FILE)["definition"], self.definition
            if other.get("settings") == own.get("settings"):
                differing = [name for name, value in own["inputs"].items() if other["inputs"].get(name) != value]
                logger.warning(
                    "%s has the same settings but other inputs (%s); it is stale, unless they were meant to differ, "
                    "as with another CF model.",
                    *(sibling, ", ".join(differing)),
                )


def run_directory(parent: Path, name: str, definition: Mapping[str, Any]) -> Path:
    """Where the run of this definition lies."""
    return parent / f"{name}-{content_hash(definition)[:8]}"


def is_finished(directory: Path) -> bool:
    """Whether a stage wrote everything into ``directory``."""
    return (directory / MANIFEST_FILE).is_file()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
