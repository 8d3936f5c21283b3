"""Reading interactions of any size: streamed, every id kept once, 4 bytes a cell."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from src.data.sources.raw import as_text
from src.errors import DataError

BLOCK_BYTES = 8 << 20
ID_TYPE = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class Delimited:
    """Format of a text table: what parts its cells, and the names of its columns if no header line gives them."""

    delimiter: str = ","
    columns: Sequence[str] | None = None
    quoted: bool = True


def read_columns(
    path: Path, layout: Delimited, ids: Sequence[str], numbers: Sequence[str] = ()
) -> tuple[pd.DataFrame, int]:
    """Read some columns of a text table (``.gz`` too) in blocks.

    Args:
        path: The table.
        layout: Its format.
        ids: Columns to read as text; they become categorical.
        numbers: Columns to read as float64.

    Returns:
        The columns, and how many rows were left out since they have too few or too many cells.

    Raises:
        DataError: The file is damaged, lacks a column, or holds text where a number should be.
    """
    damaged = itertools.count()

    def leave_out(_: Any) -> str:
        next(damaged)
        return "skip"

    names = [*ids, *numbers]
    types = dict.fromkeys(ids, ID_TYPE) | dict.fromkeys(numbers, pa.float64())
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            reader = pyarrow.csv.open_csv(
                stream,
                pyarrow.csv.ReadOptions(
                    use_threads=False,  # faster for few columns, and only so an error always knows its row
                    block_size=BLOCK_BYTES,
                    column_names=list(layout.columns) if layout.columns else None,
                ),
                pyarrow.csv.ParseOptions(
                    delimiter=layout.delimiter,
                    quote_char='"' if layout.quoted else False,
                    invalid_row_handler=leave_out,
                ),
                pyarrow.csv.ConvertOptions(column_types=types, include_columns=names),
            )
            # One block at a time, each with its own dictionary; only the codes and the union of the names are kept.
            columns = _collect(reader, ids, numbers)
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
        raise DataError(
            f"{path} should be a table with the columns {', '.join(names)}, but cannot be read ({_brief(error)}); "
            "get it again, mend it, or correct the dataset's column names."
        ) from error
    return columns, next(damaged)


def read_parquet_columns(path: Path, ids: Sequence[str], numbers: Sequence[str] = ()) -> pd.DataFrame:
    """Read some columns of a Parquet table; ids may be text or whole numbers and become categorical.

    Raises:
        DataError: The file is damaged or lacks a column.
    """
    try:
        table = pyarrow.parquet.read_table(path, columns=[*ids, *numbers])
        frame = table.to_pandas(strings_to_categorical=True, ignore_metadata=True)
        return frame.assign(**{name: as_ids(frame[name]) for name in ids})
    except Exception as error:  # many kinds, by damage and by kind of column; the cause is chained
        raise DataError(
            f"{path} should be a Parquet table with the columns {', '.join([*ids, *numbers])}, but cannot be read "
            f"({_brief(error)}); get it again, or correct the dataset's column names."
        ) from error


def as_ids(column: pd.Series) -> pd.Series:
    """Ids as a categorical column of stripped text with sorted categories; missing ones become ""."""
    codes, values = pd.factorize(column, use_na_sentinel=False)
    place, names = pd.factorize(as_text(pd.Series(values)).astype("str"), sort=True)
    return pd.Series(pd.Categorical.from_codes(place[codes].astype(np.int32), names), index=column.index)


def no_pairs() -> pd.DataFrame:
    """A table of interactions without rows."""
    empty = as_ids(pd.Series([], dtype=object))
    return pd.DataFrame({"user_id": empty, "item_id": empty})


def _collect(reader: Iterator[pa.RecordBatch], ids: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    known: dict[str, dict[str, int]] = {name: {} for name in ids}
    codes: dict[str, list[np.ndarray]] = {name: [] for name in ids}
    values: dict[str, list[np.ndarray]] = {name: [] for name in numbers}
    for batch in reader:
        for name in ids:
            column = batch.column(name)
            place = known[name]
            new = [place.setdefault(text, len(place)) for text in column.dictionary.to_pylist()]
            codes[name].append(np.array(new, dtype=np.int32)[column.indices.to_numpy(zero_copy_only=False)])
        for name in numbers:
            values[name].append(batch.column(name).to_numpy(zero_copy_only=False))
    columns: dict[str, Any] = {}
    for name in ids:
        joined = np.concatenate(codes.pop(name) or [np.empty(0, np.int32)])
        text = pd.Index(list(known[name]), dtype="str")
        columns[name] = as_ids(pd.Series(pd.Categorical.from_codes(joined, text)))
    for name in numbers:
        columns[name] = np.concatenate(values.pop(name) or [np.empty(0)])
    return pd.DataFrame(columns)


def _brief(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
