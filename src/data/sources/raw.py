"""What a source hands over, and how sources read tables: the same checks and sentences for all of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from src.config import DatasetConfig
from src.errors import DataError


@dataclass(frozen=True)
class RawTables:
    """The two common tables as a source reads them, before any common cleaning.

    Attributes:
        items: ``item_id`` (str), ``image_path`` (str below images_dir, or None), ``labels`` (list of str; None:
            unknown; empty: known to have none) and ``image_group`` (str, or None); ids may still repeat or be empty.
        interactions: ``user_id`` and ``item_id`` (str); pairs may still repeat, be empty, or name unknown items.
        dropped: What the source itself left out, as reason -> count.
    """

    items: pd.DataFrame
    interactions: pd.DataFrame
    dropped: dict[str, int] = field(default_factory=dict)


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


def read_table(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    """Read some columns of a CSV (``.csv``, ``.csv.gz``) or Parquet (``.parquet``) table.

    Every cell of a CSV is read as text, so that ids such as ``007`` or ``NA`` stay what they are; an empty cell is "".

    Args:
        path: The table.
        columns: The wanted columns, as name in the table -> setting that names it (for the error message).

    Raises:
        DataError: The file is in no known format, cannot be read, or lacks a column.
    """
    readers: dict[str, Callable[[], pd.DataFrame]] = {
        ".csv": lambda: pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig"),
        ".csv.gz": lambda: pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig"),
        ".parquet": lambda: pd.read_parquet(path),
    }
    suffix = next((suffix for suffix in readers if path.name.endswith(suffix)), None)
    if suffix is None:
        raise DataError(f"{path} should end in one of {', '.join(readers)}; convert it, or correct its name.")
    try:
        table = readers[suffix]()
    except Exception as error:  # the readers raise many kinds on damaged files; the cause is chained
        raise DataError(f"{path} cannot be read as {suffix} ({error}); get it again or mend it.") from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        settings = ", ".join(f"dataset.{columns[name]}" for name in missing)
        raise DataError(
            f"{path} should have the column(s) {', '.join(missing)}, but has {', '.join(map(str, table.columns))}. "
            f"Set {settings} to the right name."
        )
    return table[list(columns)]


def as_text(column: pd.Series) -> pd.Series:
    """A column of ids or paths as stripped text; missing values become "" and whole floats lose their ``.0``."""
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    return column.astype("string").fillna("").str.strip().astype(object)
