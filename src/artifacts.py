"""Every file that passes between stages: its name, its columns, and how it is read and written.

Writing is atomic (temporary name in the same folder, flushed to disk, then renamed), so a reader sees the whole file or
none. Reading never executes code: Parquet, npz without pickles, JSON and YAML. Joins are by ``item_id``, never by row
order.
"""

import contextlib
import glob
import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow
import yaml
from pyarrow import parquet

from src.errors import ArtifactError
from src.machine import is_running

ITEM_ID, USER_ID = "item_id", "user_id"
ITEM_COLUMNS = (ITEM_ID, "image_path", "labels", "image_group", "part")
INTERACTION_COLUMNS = (USER_ID, ITEM_ID)

PREPARED = "prepared"
ITEMS_FILE, INTERACTIONS_FILE, LABELS_FILE = "items.parquet", "interactions.parquet", "labels.json"
IMAGES_DIR, REPORT_FILE, MANIFEST_FILE = "images", "report.json", "manifest.json"
METRICS_FILE, CURVES_FILE, CONFIG_FILE = "metrics.json", "metrics.csv", "config.yaml"
VECTORS_FILE, PRECHECK_FILE = "item_vectors.npz", "pre_check.json"
PROBABILITIES_FILE, CONFIDENCE_FILE = "item_probabilities.npz", "item_confidence.npz"
PREDICTIONS_FILE, RESULTS_FILE, EVALUATION_DIR = "predictions.npz", "results.yaml", "evaluation"


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it takes the final name only if the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    mine = f".{path.name}.{platform.node()}-{os.getpid()}-"
    handle, name = tempfile.mkstemp(prefix=mine, suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_abandoned(path: Path) -> None:
    """Delete temporary files for ``path`` of processes of this machine that were killed while writing them."""
    prefix = f".{path.name}.{platform.node()}-"
    for leftover in path.parent.glob(f"{glob.escape(prefix)}*.tmp"):
        writer = leftover.name.removeprefix(prefix).split("-")[0]
        if writer.isdecimal() and not is_running(int(writer)):
            leftover.unlink(missing_ok=True)


def save_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON, atomically; NaN is refused, since JSON has none."""
    save_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def load_json(path: Path) -> Any:
    """Read a JSON file; raises ``ArtifactError`` naming it when it is missing or damaged."""
    return _load(path, lambda: json.loads(path.read_text(encoding="utf-8")))


def save_yaml(path: Path, content: Any) -> None:
    """Write plain lists, mappings, strings and numbers as YAML, atomically."""
    save_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def load_yaml(path: Path) -> Any:
    """Read a YAML file with the safe loader; raises ``ArtifactError`` naming it when it is missing or damaged."""
    return _load(path, lambda: yaml.safe_load(path.read_text(encoding="utf-8")))


def save_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as Parquet with a checksum of each page, atomically."""
    with atomic_path(path) as temporary:
        table.to_parquet(temporary, index=False, write_page_checksum=True)


def load_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read a Parquet table and check that it has exactly ``columns``."""
    table: pd.DataFrame = _load(path, lambda: _read_columns(path))
    if tuple(table.columns) != columns:
        raise ArtifactError(f"{path} should have the columns {list(columns)}, but has {list(table.columns)}.")
    return table


def _read_columns(path: Path) -> pd.DataFrame:
    """A Parquet table read column by column: half the memory of all at once where there are many distinct names."""
    columns = {}
    for name in parquet.read_schema(path).names:
        column = parquet.read_table(path, columns=[name], pre_buffer=False, page_checksum_verification=True)
        columns[name] = column.to_pandas(self_destruct=True)[name]
        del column
        pyarrow.default_memory_pool().release_unused()
    return pd.DataFrame(columns, copy=False)


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's content, as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _load(path: Path, read: Any) -> Any:
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist; run the stage that writes it first.")
    try:
        return read()
    except Exception as error:  # any reader may fail in its own way on a damaged file; the cause is chained
        raise ArtifactError(f"{path} cannot be read ({error}); delete it and run its stage again.") from error


@dataclass(frozen=True)
class ArrayArtifact:
    """A named set of arrays kept as one npz file; the first axis of every ``(rows)`` field follows ``item_id``."""

    def save(self, path: Path) -> None:
        """Write all fields, atomically and without pickles."""
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check a file; raises ``ArtifactError`` when it is missing, damaged or of another kind."""
        names = {field.name for field in fields(cls)}

        def read() -> dict[str, np.ndarray]:
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}

        arrays = _load(path, read)
        if set(arrays) != names:
            raise ArtifactError(f"{path} should hold the arrays {sorted(names)}, but holds {sorted(arrays)}.")
        try:
            return cls(**arrays)
        except ArtifactError as error:
            raise ArtifactError(f"{path}: {error}") from error


def check_rows(item_id: np.ndarray, **arrays: np.ndarray) -> None:
    """Raise ``ArtifactError`` unless ids are unique strings and every array has one finite row for each of them."""
    if item_id.ndim != 1 or item_id.dtype.kind != "U":
        raise ArtifactError(
            f"item_id should be a 1-d array of strings, but is {item_id.dtype} of shape {item_id.shape}."
        )
    if len(np.unique(item_id)) != len(item_id):
        raise ArtifactError("item_id holds the same id more than once.")
    for name, array in arrays.items():
        if len(array) != len(item_id):
            raise ArtifactError(f"{name} should have {len(item_id)} rows, one for each item, but has {len(array)}.")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ArtifactError(f"{name} holds NaN or infinite values.")


@dataclass(frozen=True)
class ItemVectors(ArrayArtifact):
    """CF vectors: ``item_id`` [I], ``vectors`` [I, f] float32, ``bias`` [I] float32, ``n_users`` [I] int64."""

    item_id: np.ndarray
    vectors: np.ndarray
    bias: np.ndarray
    n_users: np.ndarray

    def __post_init__(self) -> None:
        """Check sizes and finiteness."""
        check_rows(self.item_id, vectors=self.vectors, bias=self.bias, n_users=self.n_users)
        if self.vectors.ndim != 2 or self.bias.ndim != 1:
            raise ArtifactError(f"vectors should be [items, f], but have shape {self.vectors.shape}.")


@dataclass(frozen=True)
class ItemProbabilities(ArrayArtifact):
    """Label probabilities by CF2Label: ``item_id`` [I], ``labels`` [N], ``probs`` [I, N], ``fold`` [I] (-1: mean)."""

    item_id: np.ndarray
    labels: np.ndarray
    probs: np.ndarray
    fold: np.ndarray

    def __post_init__(self) -> None:
        """Check sizes and finiteness."""
        check_rows(self.item_id, probs=self.probs, fold=self.fold)
        if self.probs.shape[1:] != self.labels.shape:
            raise ArtifactError(f"probs should have {len(self.labels)} columns, but has shape {self.probs.shape}.")


@dataclass(frozen=True)
class ItemConfidence(ArrayArtifact):
    """Raw loss-based confidence h of each item's CF vector: ``item_id`` [I], ``confidence`` [I] float32."""

    item_id: np.ndarray
    confidence: np.ndarray

    def __post_init__(self) -> None:
        """Check sizes and finiteness."""
        check_rows(self.item_id, confidence=self.confidence)


@dataclass(frozen=True)
class Predictions(ArrayArtifact):
    """Test predictions of one run.

    ``item_id`` [n], ``labels`` [N], ``scores`` [n, N] float32 (higher is likelier), ``targets`` [n, N] uint8 and
    ``image_group`` [n] str, the unit that resampling must keep together.
    """

    item_id: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    targets: np.ndarray
    image_group: np.ndarray

    def __post_init__(self) -> None:
        """Check sizes and finiteness."""
        check_rows(self.item_id, scores=self.scores, targets=self.targets, image_group=self.image_group)
        expected = (len(self.item_id), len(self.labels))
        if self.scores.shape != expected or self.targets.shape != expected:
            raise ArtifactError(
                f"scores and targets should be {expected}, but are {self.scores.shape} and {self.targets.shape}."
            )
