"""Any dataset that comes as two tables, items and interactions, in CSV or Parquet.

Labels in a CSV cell are names joined by ``label_separator``. An empty cell means that the labels are unknown; a cell
that holds the separator alone (``|``) means that the item is known to have none. A Parquet column may hold text in the
same way, or lists: null is unknown, an empty list is none. An image may be a path or a web address.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from src.config import TabularConfig
from src.data.sources.pairs import Delimited, no_pairs, read_columns, read_parquet_columns
from src.data.sources.raw import (
    WEB,
    RawTables,
    as_text,
    column_names,
    downloaded_path,
    read_table,
    require_columns,
    require_file,
)
from src.errors import ConfigError, DataError


def raw_files(cfg: TabularConfig) -> list[Path]:
    """The tables that ``read`` reads; raises ``DataError`` when one is missing."""
    names = [cfg.items_file] + ([cfg.interactions_file] if cfg.interactions_file else [])
    return [require_file(Path(cfg.raw_dir) / name, cfg) for name in names]


def read(cfg: TabularConfig) -> RawTables:
    """Read both tables.

    Raises:
        ConfigError: Settings contradict each other.
        DataError: A file is missing or unreadable, lacks a column, or holds labels or ratings of a wrong kind.
    """
    if not cfg.label_separator:
        raise ConfigError("dataset.label_separator should be one or more characters, but is empty.")
    if len({cfg.user_column, cfg.item_column, cfg.rating_column}) < 3:
        raise ConfigError("dataset.user_column, item_column and rating_column should name different columns.")
    paths = raw_files(cfg)
    items, urls = _read_items(paths[0], cfg)
    if not cfg.interactions_file:
        return RawTables(items, no_pairs(), image_urls=urls)
    interactions, dropped = _read_interactions(paths[1], cfg)
    return RawTables(items, interactions, dropped, urls)


def _read_items(path: Path, cfg: TabularConfig) -> tuple[pd.DataFrame, dict[str, str]]:
    columns = {cfg.item_column: "item_column", cfg.image_column: "image_column"}
    if cfg.value_columns:
        columns |= dict.fromkeys(cfg.value_columns, "value_columns")
    elif cfg.labels_column:
        columns[cfg.labels_column] = "labels_column"
    if cfg.group_column:
        columns[cfg.group_column] = "group_column"
    table = read_table(path, columns)
    image_path = as_text(table[cfg.image_column])
    urls = {downloaded_path(text): text for text in image_path if text.startswith(WEB)}
    paths = [downloaded_path(text) if text.startswith(WEB) else text or None for text in image_path]
    items = pd.DataFrame({"item_id": as_text(table[cfg.item_column]), "image_path": pd.Series(paths, dtype=object)})
    if cfg.value_columns:
        items["values"] = _read_values(table[cfg.value_columns], path)
        items["labels"] = items["values"].map(lambda values: None if values is None else sorted(cfg.value_columns))
    else:
        items["labels"] = _read_labels(table[cfg.labels_column], path, cfg) if cfg.labels_column else None
    group = as_text(table[cfg.group_column]) if cfg.group_column else pd.Series("", index=items.index, dtype=object)
    items["image_group"] = group.where(group != "", None)
    return items, urls


def _read_labels(column: pd.Series, path: Path, cfg: TabularConfig) -> pd.Series:
    def parse(cell: Any) -> list[str] | None:
        if isinstance(cell, (list, tuple, np.ndarray)):
            names = list(cell)
            if not all(isinstance(name, str) for name in names):
                raise DataError(f"{path}: a list in column {cfg.labels_column} should hold text, but is {names!r}.")
        elif isinstance(cell, str):
            if not cell.strip():
                return None
            names = cell.split(cfg.label_separator)
        elif pd.isna(cell):
            return None
        else:
            raise DataError(
                f"{path}: column {cfg.labels_column} should hold names joined by {cfg.label_separator!r}, or lists, "
                f"but holds {cell!r} ({type(cell).__name__})."
            )
        return sorted({name.strip() for name in names} - {""})

    return pd.Series([parse(cell) for cell in column], index=column.index, dtype=object)


def _read_values(table: pd.DataFrame, path: Path) -> pd.Series:
    """One tuple of numbers an item, in the order of the sorted column names; None where a cell is empty."""
    texts = table.map(lambda cell: "" if pd.isna(cell) else str(cell).strip())
    numbers = texts.where(texts != "", None).apply(pd.to_numeric, errors="coerce").astype(np.float64)
    wrong = (texts != "").to_numpy() & ~np.isfinite(numbers.to_numpy())
    if wrong.any():
        row, column = (int(place[0]) for place in np.nonzero(wrong))
        raise DataError(
            f"{path}: column {table.columns[column]} should hold numbers or nothing, but row {row + 1} holds "
            f"{texts.iloc[row, column]!r}."
        )
    rows = numbers[sorted(table.columns)].itertuples(index=False, name=None)
    values = [None if any(map(np.isnan, numbers)) else numbers for numbers in rows]
    return pd.Series(values, index=table.index, dtype=object)


def _read_interactions(path: Path, cfg: TabularConfig) -> tuple[pd.DataFrame, dict[str, int]]:
    columns = {cfg.user_column: "user_column", cfg.item_column: "item_column"}
    ids, numbers = list(columns), []
    if cfg.rating_column and cfg.min_rating is not None:
        columns[cfg.rating_column] = "rating_column"
        numbers = [cfg.rating_column]
    require_columns(path, column_names(path), columns)
    if path.suffix == ".parquet":
        table, dropped = read_parquet_columns(path, ids, numbers), {}
    else:
        table, damaged = read_columns(path, Delimited(), ids, numbers)
        dropped = {"interactions_with_a_wrong_number_of_cells": damaged}
    if numbers:
        rating = pd.to_numeric(table[cfg.rating_column], errors="coerce")
        if rating.isna().any():
            raise DataError(
                f"{path}: column {cfg.rating_column} should hold numbers, but {int(rating.isna().sum())} row(s) hold "
                f"none, the first of them row {int(rating.isna().to_numpy().argmax()) + 1}."
            )
        table = table[rating >= cfg.min_rating]
        dropped["interactions_below_min_rating"] = int((rating < cfg.min_rating).sum())
    return table[ids].set_axis(["user_id", "item_id"], axis=1), dropped
