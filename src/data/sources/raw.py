"""What a source hands over, and how sources read item tables: the same checks and sentences for all of them."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import pandas as pd
import pyarrow.parquet

from src.config import DatasetConfig
from src.errors import DataError

T = TypeVar("T")
WEB = ("http://", "https://")
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".avif", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class RawTables:
    """The two common tables as a source reads them, before any common cleaning.

    Attributes:
        items: ``item_id`` (str), ``image_path`` (str below images_dir, or None), ``labels`` (list of str; None:
            unknown; empty: known to have none) and ``image_group`` (str, or None); ids may still repeat or be empty.
            For regression also ``values`` (tuple of float, or None: unknown), in the order of the sorted labels.
        interactions: ``user_id`` and ``item_id``, categorical (4 bytes a cell); pairs may still repeat, be empty, or
            name unknown items.
        dropped: What the source itself left out, as reason -> count.
        image_urls: Where an image can be downloaded from, by image path.
        notes: Other figures for the report.
    """

    items: pd.DataFrame
    interactions: pd.DataFrame
    dropped: dict[str, int] = field(default_factory=dict)
    image_urls: dict[str, str] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


class Source(NamedTuple):
    """A kind of raw data: ``files`` names the raw tables that ``read`` would read, for the fingerprint."""

    files: Callable[[Any], list[Path]]
    read: Callable[[Any], RawTables]


def require_file(path: Path, cfg: DatasetConfig) -> Path:
    """Return ``path`` if it is a file; else raise ``DataError`` that says what to get and where to put it."""
    if path.is_file():
        return path
    how = f" {cfg.obtain}" if cfg.obtain else ""
    raise DataError(
        f"{path} does not exist. Put the raw file there, or set dataset.raw_dir to the folder that holds it.{how}"
    )


def downloaded_path(url: str) -> str:
    """Path below ``images_dir`` of an image from the web.

    It is made of the address's hash, so items with one address share a file, and neither an address nor an id can name
    a file of its own choice.
    """
    name = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    try:
        ending = next((e for e in IMAGE_ENDINGS if urlsplit(url).path.lower().endswith(e)), ".img")
    except ValueError:  # not an address after all; the download says so
        ending = ".img"
    return f"{name[:2]}/{name}{ending}"


def read_table(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    """Read some columns of a CSV (``.csv``, ``.csv.gz``) or Parquet (``.parquet``) table.

    Every cell of a CSV is read as text, so that ids such as ``007`` or ``NA`` stay what they are; an empty cell is "".

    Args:
        path: The table.
        columns: The wanted columns, as name in the table -> setting that names it (for the error message).

    Raises:
        DataError: The file is in no known format, cannot be read, or lacks a column.
    """
    table = _read(path)
    require_columns(path, list(map(str, table.columns)), columns)
    return table[list(columns)]


def column_names(path: Path) -> list[str]:
    """Names of a table's columns; raises ``DataError`` like ``read_table``."""
    if path.suffix == ".parquet":
        return [str(name) for name in _attempt(path, lambda: pyarrow.parquet.read_schema(path).names)]
    return [str(name) for name in _read(path, nrows=0).columns]


def require_columns(path: Path, present: list[str], columns: dict[str, str]) -> None:
    """Raise ``DataError`` unless all ``columns`` (name -> setting that names it) are among ``present``."""
    missing = [name for name in columns if name not in present]
    if missing:
        settings = ", ".join(f"dataset.{columns[name]}" for name in missing)
        raise DataError(
            f"{path} should have the column(s) {', '.join(missing)}, but has {', '.join(present)}. "
            f"Set {settings} to the right name."
        )


def as_text(column: pd.Series) -> pd.Series:
    """A column of ids or paths as stripped text; missing values become "" and whole floats lose their ``.0``."""
    if isinstance(column.dtype, pd.CategoricalDtype) and pd.api.types.is_float_dtype(column.cat.categories):
        column = column.astype(float)
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all() and (column.abs().max() < 2.0**63):
        column = column.astype("Int64")
    return column.astype("string").fillna("").str.strip().astype(object)


def _read(path: Path, **options: Any) -> pd.DataFrame:
    def read_csv() -> pd.DataFrame:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", **options)
        if not isinstance(table.index, pd.RangeIndex):  # pandas would take the first cells for names of rows
            raise ValueError("rows have more cells than the header line")
        return table

    def read_parquet() -> pd.DataFrame:
        return pyarrow.parquet.read_table(path).to_pandas(ignore_metadata=True)  # an index is a column too

    readers = {".csv": read_csv, ".csv.gz": read_csv, ".parquet": read_parquet}
    suffix = next((suffix for suffix in readers if path.name.endswith(suffix)), None)
    if suffix is None:
        raise DataError(f"{path} should end in one of {', '.join(readers)}; convert it, or correct its name.")
    return _attempt(path, readers[suffix])


def _attempt(path: Path, read: Callable[[], T]) -> T:
    try:
        return read()
    except Exception as error:  # the readers raise many kinds on damaged files; the cause is chained
        kind = "".join(path.suffixes)
        raise DataError(f"{path} cannot be read as {kind} ({error}); get it again or mend it.") from error
