"""Columns of raw tables: found by name, ids as exact text, ratings as numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
from duckdb import (
    CaseExpression,
    CoalesceOperator,
    ColumnExpression,
    ConstantExpression,
    Expression,
    FunctionExpression,
    SQLExpression,
    StarExpression,
)

from src.errors import DataError

BLANK = "".join(filter(str.isspace, map(chr, range(0x3001))))  # what str.strip takes away
EXACT = {"float": 2.0**24, "double": 2.0**53}  # larger whole numbers cannot all be told apart
NESTED = ("list", "array", "struct", "map", "union", "variant")
NUMBER = "TRY_CAST({0} AS DOUBLE)"
DATES = "coalesce(TRY_CAST({0} AS DOUBLE), epoch(TRY_CAST({0} AS TIMESTAMP)))"
OPTIONAL = {"image_column", "labels_column"}  # settings that may be null
MISSING = "('', 'na', 'n/a', 'nan', 'null', 'none', '\\n')"  # in place of a number


def find_columns(present: Sequence[str], wanted: Mapping[str, str]) -> list[int] | None:
    """Places of the wanted columns; names may differ by blanks at their ends. None: one is missing."""
    exact = {name: place for place, name in reversed(list(enumerate(present)))}
    places = {name.strip(): place for name, place in reversed(exact.items())} | exact
    return [places[name] for name in wanted] if set(wanted) <= set(places) else None


def require_columns(path: Path, present: Sequence[str], wanted: Mapping[str, str], how: str = "") -> list[int]:
    """As ``find_columns``; raises ``DataError`` where one is missing. ``how`` says how the names were told apart."""
    places = find_columns(present, wanted)
    if places is None:
        missing = [name for name in wanted if find_columns(present, {name: ""}) is None]
        settings = " and ".join(dict.fromkeys(f"dataset.{wanted[name]}" for name in missing))
        null = ", or to null if there are none" if {wanted[name] for name in missing} <= OPTIONAL else ""
        raise DataError(
            f"{path} should have the column(s) {', '.join(map(repr, missing))}, but has "
            f"{', '.join(map(repr, present)) or 'none'}{how}. Set {settings} to the right name{null}."
        )
    return places


def as_text(name: str) -> Expression:
    """A column of any kind as text without blanks at its ends; null is ""."""
    text = FunctionExpression("trim", ColumnExpression(name).cast("VARCHAR"), ConstantExpression(BLANK))
    return CoalesceOperator(text, ConstantExpression("")).alias(name)


def exact_text(table: duckdb.DuckDBPyRelation, name: str, path: Path) -> Expression:
    """A column of ids as text, as ``as_text``; a whole number has no decimal point, whatever its type.

    Raises ``DataError``: it holds lists, or decimals so large that neighbouring ids have become one.
    """
    kind, column = table.types[table.columns.index(name)].id, ColumnExpression(name)
    text = column.cast("VARCHAR")
    if kind in NESTED:
        raise DataError(f"{path}: column {name!r} should hold text or numbers, but holds {kind}s; flatten it.")
    if kind == "decimal":
        text = FunctionExpression("regexp_replace", text, ConstantExpression(r"\.0+$"), ConstantExpression(""))
    elif kind in EXACT:
        largest = table.select(FunctionExpression("abs", column).alias("x")).aggregate("max(x) FILTER (NOT isnan(x))")
        if (found := largest.fetchall()[0][0] or 0.0) >= EXACT[kind]:
            raise DataError(
                f"{path}: column {name!r} should hold ids, but holds decimals as large as {found:.17g}, of which "
                "several ids may have become one; write ids as text or whole numbers."
            )
        whole = FunctionExpression("trunc", column) == column
        text = CaseExpression(whole, column.cast("BIGINT").cast("VARCHAR")).otherwise(text)
        text = CaseExpression(FunctionExpression("isnan", column), ConstantExpression("")).otherwise(text)
    elif kind in ("varchar", "enum"):
        return as_text(name)
    return CoalesceOperator(text, ConstantExpression("")).alias(name)


def to_numbers(
    table: duckdb.DuckDBPyRelation, name: str, path: Path, title: str, read: str = NUMBER
) -> duckdb.DuckDBPyRelation:
    """The table with one of our own columns as DOUBLE by ``NUMBER`` or ``DATES``, null where nothing is given.

    Raises ``DataError``: a cell holds something else.
    """
    table = table.select(StarExpression(exclude=[name]), as_text(name))
    number = f"CASE WHEN lower({name}) NOT IN {MISSING} THEN {read.format(name)} END"
    wrong = table.filter(f"lower({name}) NOT IN {MISSING} AND NOT coalesce(isfinite({number}), false)")
    count, example = wrong.aggregate(f"count(*), min({name})").fetchall()[0]
    if count:
        kind = "numbers" if read == NUMBER else "numbers or dates"
        raise DataError(
            f"{path}: column {title!r} should hold {kind}, but {count} row(s) hold none, such as {example!r}; correct "
            "them."
        )
    return table.select(StarExpression(exclude=[name]), SQLExpression(number).alias(name))


def at_least(
    table: duckdb.DuckDBPyRelation, least: float | None, path: Path, title: str
) -> tuple[duckdb.DuckDBPyRelation, int]:
    """The rows whose ``rating`` is ``least`` or more (None: all), and how many others there are.

    Raises ``DataError``: a rating is text.
    """
    table = to_numbers(table, "rating", path, title)
    high = table if least is None else table.filter(ColumnExpression("rating") >= ConstantExpression(least))
    return high, len(table) - len(high)
