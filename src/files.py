"""Files written atomically: to a temporary file in the same folder, flushed to disk, then renamed.

Reading never executes code: Parquet, JSON and YAML.
"""

import contextlib
import glob
import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import yaml
from pyarrow import parquet

from src.errors import ArtifactError
from src.machine import is_running

PROJECT = Path(__file__).parents[1]
"""Folder of the project; relative paths of its own files start here."""

STARTED_IN = Path.cwd()
"""Where the command was given; relative paths of the user's images start here."""


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
    """Delete temporary files of ``path`` whose process, on this machine, was killed."""
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
    """Write ``content`` as indented JSON, atomically; raises ``ValueError`` for NaN, which JSON does not have."""
    save_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def load_json(path: Path) -> Any:
    """Read a JSON file; raises ``ArtifactError`` naming it when it is missing or damaged."""
    return load(path, lambda: json.loads(path.read_text(encoding="utf-8")))


def save_yaml(path: Path, content: Any) -> None:
    """Write plain lists, mappings, strings and numbers as YAML, atomically."""
    save_text(path, yaml_text(content))


def yaml_text(content: Any) -> str:
    """Plain lists, mappings, strings and numbers as YAML."""
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def load_yaml(path: Path) -> Any:
    """Read a YAML file with the safe loader; raises ``ArtifactError`` naming it when it is missing or damaged."""
    return load(path, lambda: yaml.safe_load(path.read_text(encoding="utf-8")))


def save_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as Parquet with a checksum of each page, atomically."""
    with atomic_path(path) as temporary:
        table.to_parquet(temporary, index=False, write_page_checksum=True)


def load_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read a Parquet table and check that it has exactly ``columns``."""
    table = load(path, lambda: _read_columns(path))
    if tuple(table.columns) != columns:
        raise ArtifactError(f"{path} should have the columns {list(columns)}, but has {list(table.columns)}.")
    return table


def _read_columns(path: Path) -> pd.DataFrame:
    """Read a Parquet table by column: half the memory for tables with many distinct names."""
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


def load(path: Path, read: Callable[[], Any]) -> Any:
    """The result of ``read``; raises ``ArtifactError`` naming the file when it is missing or damaged."""
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist; run the stage that writes it first.")
    try:
        return read()
    except Exception as error:  # each reader fails differently on a damaged file; the cause is chained
        raise ArtifactError(f"{path} cannot be read ({error}); delete it and run its stage again.") from error
