"""Tables of any kind by their path: text, Parquet, or a folder of parts, as Spark writes them."""

from collections.abc import Collection, Mapping
from functools import reduce
from pathlib import Path

import duckdb
from duckdb import ColumnExpression

from src.config.datasets import DatasetConfig
from src.data.tables.columns import exact_text, require_columns
from src.data.tables.engine import Engine, brief
from src.data.tables.text import Dialect, load_text
from src.errors import DataError

PARQUET = (".parquet",)
TEXT = tuple(f"{kind}{packed}" for kind in (".csv", ".tsv", ".txt") for packed in ("", ".gz", ".zst"))
SHOWN = ".csv, .tsv, .txt (also .gz, .zst) or .parquet"


def read_table(
    engine: Engine, path: Path, wanted: Mapping[str, tuple[str, str]], dialect: Dialect, as_is: Collection[str] = ()
) -> tuple[duckdb.DuckDBPyRelation, int]:
    """Read columns of a file or folder of parts, and count the rows with a wrong number of cells.

    Args:
        engine: Opened with ``parts_of`` the table.
        path: The table.
        wanted: What to call each column, its name in the table, and the setting that names it.
        dialect: Of a text table.
        as_is: Columns that keep their type; others become text, exactly, where nothing is "".

    Raises ``DataError``: the table is damaged, of no known kind, or lacks a column.
    """
    parts, setting_of = parts_of(path), dict(wanted.values())
    if parts[0].name.endswith(PARQUET):
        try:
            links = [engine.link(part) for part in parts]
            table = engine.connection.read_parquet(links, binary_as_string=True, union_by_name=True)
            names, damaged = [table.columns[n] for n in require_columns(path, table.columns, setting_of)], 0
            table.limit(1).fetchall()
        except duckdb.Error as error:
            raise DataError(f"{path} should be Parquet, but cannot be read ({brief(error)}); get it again.") from error
    elif dialect.columns is None and not parts[0].name.endswith(TEXT):
        raise DataError(f"{path} should end in {SHOWN}; convert it, or correct its name.")
    else:
        read = [load_text(engine, part, setting_of, dialect) for part in parts]
        table, damaged = reduce(lambda one, other: one.union(other), (t for t, _ in read)), sum(n for _, n in read)
        names = [f"c{position}" for position in range(len(setting_of))]
    name_of = dict(zip(setting_of, names, strict=True))
    columns = [ColumnExpression(name_of[name]).alias(alias) for alias, (name, _) in wanted.items()]
    table = table.select(*columns)
    kept = (ColumnExpression(name) if name in as_is else exact_text(table, name, path) for name in wanted)
    return table.select(*kept), damaged


def parts_of(path: Path) -> list[Path]:
    """The files of a table: itself, or those of one kind in a folder; raises ``DataError`` if there is none."""
    if not path.is_dir():
        return [path]
    parts = [one for one in sorted(path.rglob("*")) if one.is_file() and not one.name.startswith((".", "_"))]
    for endings in (PARQUET, TEXT):
        if some := [part for part in parts if part.name.endswith(endings)]:
            return some
    raise DataError(f"{path} should be a table or hold the parts of one, ending in {SHOWN}, but holds none.")


def require_file(path: Path, cfg: DatasetConfig) -> Path:
    """Return ``path`` if it is there; else raise ``DataError`` that says what to get and where to put it."""
    if not path.exists():
        put = "Put the raw file there, or set dataset.raw_dir to the folder that holds it."
        raise DataError(f"{path} does not exist. {put} {cfg.obtain}".rstrip())
    return path
