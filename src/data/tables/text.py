"""Text tables of any dialect: compression, encoding, delimiter, quotes and ends of lines are found, not assumed."""

import codecs
import csv
import io
import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import duckdb
import pyarrow as pa

from src.data.tables.columns import find_columns, require_columns
from src.data.tables.engine import Engine, brief
from src.errors import DataError

logger = logging.getLogger(__name__)

MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
WESTERN = "cp1252"
DELIMITERS = (",", ";", "\t", "|", "::")
NULL = "\x1f no such cell \x1f"  # DuckDB must have some text for null; a text table has none
BLOCK = 1 << 20
MOST_REJECTED = 500_000  # rows of a wrong number of cells, each of which takes a kilobyte
BARE_RETURN = re.compile(rb"\r(?!\n)")  # an end of line that DuckDB does not take where another is in quotes
ENCODING, QUOTES, ENDS = "INVALID ENCODING", "UNQUOTED VALUE", "ENDS OF LINES"
WRONG_NUMBER = ("MISSING COLUMNS", "TOO MANY COLUMNS")

# What cp1252 leaves out is taken as in Latin-1.
codecs.register_error(WESTERN, lambda error: (error.object[error.start : error.end].decode("latin-1"), error.end))  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Dialect:
    """What is known of a text table."""

    delimiter: str | None = None  # None: whatever gives the wanted columns
    encoding: str | None = None  # None: by its byte order mark, else UTF-8, else cp1252, which is said
    columns: Sequence[str] | None = None  # None: the header line names them
    quote: str = '"'  # around cells; empty: nothing
    escape: str = ""  # before a quote within a cell; empty: the quote itself
    fill: bool = False  # a row that ends early has empty cells, a longer one is an error; else both are left out
    skip: int = 0  # blank lines before the header


class _DamageError(Exception):
    def __init__(self, text: str, kind: str = "") -> None:
        super().__init__(text)
        self.kind = kind


def load_text(
    engine: Engine, path: Path, wanted: Mapping[str, str], dialect: Dialect
) -> tuple[duckdb.DuckDBPyRelation, int]:
    """Read columns of a text table into a temporary table, and count the rows with too few or too many cells.

    The columns ``wanted`` (by name, with the setting that names each) become ``c0, c1, ...``, text. Raises
    ``DataError`` where the file is damaged or lacks a column.
    """
    try:
        source = _plain(engine, path, dialect.encoding)
        if dialect.quote and BARE_RETURN.search(_head(source, BLOCK)):
            source = _even_ends(engine, source)
        names, dialect = _header(source, dialect, wanted)
        places = require_columns(path, names, wanted, f" between {dialect.delimiter!r}")
        while True:
            try:
                return _read(engine, source, dialect, len(names), places)
            except _DamageError as damage:
                if damage.kind == QUOTES and not dialect.escape:
                    dialect = replace(dialect, escape="\\")
                elif damage.kind == ENCODING and dialect.encoding is None:
                    source, dialect = _recode(engine, source, WESTERN), replace(dialect, encoding=WESTERN)
                    logger.warning("%s is not UTF-8 and was read as %s; dataset.encoding sets another.", path, WESTERN)
                elif damage.kind == ENDS and dialect.quote and source.suffix != ".even":
                    source = _even_ends(engine, source)
                else:
                    raise
    except (_DamageError, OSError, UnicodeError, LookupError, csv.Error) as error:
        raise DataError(
            f"{path} should be a whole text table, but cannot be read ({brief(error)}); correct it, get it again, or "
            "set dataset.delimiter or dataset.encoding."
        ) from error


def _plain(engine: Engine, path: Path, encoding: str | None) -> Path:
    """The table unpacked and as UTF-8, under a path that DuckDB may read."""
    packed = path
    for kind in (kind for magic, kind in MAGIC.items() if _head(packed, 4).startswith(magic)):
        path = engine.temporary()
        with pa.input_stream(str(packed), compression=kind) as stream, path.open("wb") as unpacked:
            shutil.copyfileobj(stream, unpacked, BLOCK)
    if not _head(path, 1):
        raise _DamageError("it is empty")
    encoding = encoding or next((name for mark, name in MARKS.items() if _head(path, 2) == mark), "utf-8")
    return engine.link(path) if codecs.lookup(encoding).name == "utf-8" else _recode(engine, path, encoding)


def _recode(engine: Engine, path: Path, encoding: str) -> Path:
    target, errors = engine.temporary(), WESTERN if encoding == WESTERN else "strict"
    with (
        path.open(encoding=encoding, errors=errors, newline="") as text,
        target.open("w", encoding="utf-8", newline="") as recoded,
    ):
        shutil.copyfileobj(text, recoded, BLOCK)
    return target


def _even_ends(engine: Engine, path: Path) -> Path:
    """A copy whose lines, as far as no quotes enclose their ends, all end in the same way."""
    target, inside = engine.temporary().with_suffix(".even"), 0
    with path.open("rb") as stream, target.open("wb") as even:
        while block := stream.read(BLOCK):
            parts = (block + stream.read(1) if block.endswith(b"\r") else block).split(b'"')
            for place in range(inside, len(parts), 2):
                parts[place] = parts[place].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            inside = (inside + len(parts) - 1) % 2
            even.write(b'"'.join(parts))
    return target


def _header(path: Path, dialect: Dialect, wanted: Mapping[str, str]) -> tuple[list[str], Dialect]:
    """Names of all columns, and the dialect with the delimiter that they were read by."""
    if dialect.columns is not None:
        return list(dialect.columns), dialect
    head = _head(path, BLOCK)
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        text = head.decode(WESTERN, WESTERN)
    n_blank = text[: len(text) - len(text.lstrip())].count("\n")
    dialect = replace(dialect, quote="'" if text.lstrip().startswith("'") else dialect.quote, skip=n_blank)
    found = []
    for delimiter in [dialect.delimiter] if dialect.delimiter else DELIMITERS:
        names, first = _first_rows(text, delimiter, dialect.quote)
        ends_so = len(first) == len(names) + 1 and not first[-1]  # each row ends in a delimiter, but for the header
        names = [*names, ""] if ends_so else names
        found.append((find_columns(names, wanted) is not None, len(names), names, delimiter))
    _, _, names, delimiter = max(found, key=lambda one: one[:2])
    return names, replace(dialect, delimiter=delimiter)


def _first_rows(text: str, delimiter: str, quote: str) -> list[list[str]]:
    """Header and first row; empty ones where there is none."""
    if len(delimiter) > 1:
        rows = [line.split(delimiter) for line in text.splitlines() if line]
    else:
        stream = io.StringIO(text, newline="")
        reader = csv.reader(stream, delimiter=delimiter, quotechar=quote, skipinitialspace=True)
        rows = list(islice(filter(None, reader), 2))
    return [*rows, [], []][:2]


def _read(
    engine: Engine, path: Path, dialect: Dialect, n_columns: int, places: Sequence[int]
) -> tuple[duckdb.DuckDBPyRelation, int]:
    rejects = engine.temporary().name
    options = {
        "auto_detect": False,
        "header": dialect.columns is None,
        "skip": dialect.skip,
        "delim": dialect.delimiter,
        "quote": dialect.quote,
        "escape": dialect.escape or dialect.quote,
        "nullstr": NULL,
        "null_padding": dialect.fill,
        "parallel": not dialect.fill,  # filling and quoted ends of lines do not go together else
        "store_rejects": True,
        "rejects_table": rejects,
        "rejects_limit": MOST_REJECTED,
        "rejects_scan": f"{rejects}_scan",
    }
    columns = ", ".join(f"c{place}: 'VARCHAR'" for place in range(n_columns))
    chosen = ", ".join(f"c{place} AS c{position}" for position, place in enumerate(places))
    # Of names that are made here alone; whatever comes from outside is a parameter.
    query = f"SELECT {chosen}, c{n_columns - 1} IS NULL AS short FROM read_csv($path, columns = {{{columns}}}, "  # noqa: S608
    query += ", ".join(f"{name} = ${name}" for name in options) + ")"
    try:
        table = engine.create(query, {"path": str(path), **options})
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise _DamageError(brief(error), ENDS if "invalid state" in str(error) else "") from error
    lost = table.aggregate("count(*) FILTER (short)").fetchall()[0][0]
    by_kind = engine.connection.table(rejects).aggregate("error_type, count(DISTINCT line), min(line)")
    for kind, count, line in sorted(by_kind.fetchall()):
        if kind not in WRONG_NUMBER or dialect.fill:
            what = f"more than {n_columns} cells; quotes should enclose one that holds {dialect.delimiter!r}"
            raise _DamageError(f"line {line} has {what if kind in WRONG_NUMBER else kind.lower()}", kind)
        lost += count
    if lost >= MOST_REJECTED:
        raise _DamageError(f"{MOST_REJECTED} rows or more have another number of cells than {n_columns}")
    return table, lost


def _head(path: Path, size: int) -> bytes:
    with path.open("rb") as stream:
        return stream.read(size)
