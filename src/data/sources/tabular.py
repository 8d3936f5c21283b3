"""Any dataset that comes as two tables, items and interactions, of any dialect.

Labels in a text cell are names joined by ``label_separator``, or a list as Python or JSON writes it. An empty cell
means that the labels are unknown; a cell that holds the separator alone (``|``) means that the item is known to have
none. In Parquet a column may also hold lists or whole numbers: null is unknown, an empty list is none. An image may be
a path or a web address.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
from duckdb import ColumnExpression

from src.config.datasets import TabularConfig
from src.data.sources.labels import read_labels
from src.data.sources.raw import RawTables, downloaded_path, web_address
from src.data.tables.columns import as_text, at_least, exact_text
from src.data.tables.engine import Engine
from src.data.tables.read import parts_of, read_table, require_file
from src.data.tables.text import Dialect
from src.errors import ConfigError, DataError

logger = logging.getLogger(__name__)

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def raw_files(cfg: TabularConfig) -> list[Path]:
    """The files of the two tables; raises ``DataError`` when one is missing."""
    return [part for path in _tables(cfg) for part in parts_of(path)]


def read(cfg: TabularConfig, engine: Engine) -> RawTables:
    """Read both tables.

    Raises:
        ConfigError: Settings contradict each other.
        DataError: A file is missing or unreadable, lacks a column, or holds labels or ratings of a wrong kind.
    """
    if not cfg.label_separator:
        raise ConfigError("dataset.label_separator should be one or more characters, but is empty.")
    if len({cfg.user_column, cfg.item_column, cfg.rating_column}) < 3:
        raise ConfigError("dataset.user_column, item_column and rating_column should name different columns.")
    paths = _tables(cfg)
    items, urls, short = _read_items(paths[0], cfg, engine)
    dropped = {"item_cells_missing": short}
    if not cfg.interactions_file:
        return RawTables(items, None, dropped, urls)
    interactions, counts = _read_interactions(paths[1], cfg, engine)
    return RawTables(items, interactions, dropped | counts, urls)


def _tables(cfg: TabularConfig) -> list[Path]:
    names = [cfg.items_file] + ([cfg.interactions_file] if cfg.interactions_file else [])
    return [require_file(Path(cfg.raw_dir) / name, cfg) for name in names]


def _read_items(path: Path, cfg: TabularConfig, engine: Engine) -> tuple[pd.DataFrame, dict[str, str], int]:
    wanted = {"item_id": (cfg.item_column, "item_column"), "image": (cfg.image_column, "image_column")}
    if cfg.value_columns:
        wanted |= {f"value{n}": (name, "value_columns") for n, name in enumerate(sorted(cfg.value_columns))}
    elif cfg.labels_column:
        wanted["labels"] = (cfg.labels_column, "labels_column")
    if cfg.group_column:
        wanted["image_group"] = (cfg.group_column, "group_column")
    table, short = read_table(engine, path, wanted, Dialect(cfg.delimiter, cfg.encoding, fill=True))
    if short:
        logger.warning("%s: %d row(s) end before their last cell; what is missing counts as empty.", path, short)
    columns = {name: as_text(name) if "value" in name else ColumnExpression(name) for name in wanted}
    columns |= {name: exact_text(table, name, path) for name in ("item_id", "image", "image_group") if name in wanted}
    arrow = table.select(*columns.values()).to_arrow_table()
    cells = dict(zip(wanted, (column.to_pylist() for column in arrow.columns), strict=True))
    addresses = [web_address(image) for image in cells["image"]]
    urls = {downloaded_path(url): url for url in addresses if url}
    images = [
        downloaded_path(url) if url else text or None for url, text in zip(addresses, cells["image"], strict=True)
    ]
    items: dict[str, Any] = {"item_id": cells["item_id"], "image_path": images, "labels": None, "image_group": None}
    if cfg.value_columns:
        items["values"] = _numbers(
            {name: cells[alias] for alias, (name, _) in wanted.items() if "value" in alias}, path
        )
        items["labels"] = [None if own is None else sorted(cfg.value_columns) for own in items["values"]]
    elif cfg.labels_column:
        items["labels"] = read_labels(cells["labels"], cfg.label_separator, path, cfg.labels_column)
    if cfg.group_column:
        items["image_group"] = [group or None for group in cells["image_group"]]
    index = range(len(images))
    return pd.DataFrame({name: pd.Series(own, index, object) for name, own in items.items()}), urls, short


def _numbers(columns: Mapping[str, Sequence[str]], path: Path) -> list[tuple[float, ...] | None]:
    """One tuple of numbers an item, in the order of the columns; None where a cell is empty."""
    for name, texts in columns.items():
        for row, text in enumerate(texts, start=1):
            if text.lower() not in ("", "nan") and not (NUMBER.fullmatch(text) and isfinite(float(text))):
                raise DataError(f"{path}: column {name} should hold numbers or nothing, but row {row} holds {text!r}.")
    rows = zip(*columns.values(), strict=True)
    return [None if {"", "nan"} & {text.lower() for text in row} else tuple(map(float, row)) for row in rows]


def _read_interactions(
    path: Path, cfg: TabularConfig, engine: Engine
) -> tuple[duckdb.DuckDBPyRelation, dict[str, int]]:
    wanted = {"user_id": (cfg.user_column, "user_column"), "item_id": (cfg.item_column, "item_column")}
    if cfg.rating_column and cfg.min_rating is not None:
        wanted["rating"] = (cfg.rating_column, "rating_column")
    table, damaged = read_table(engine, path, wanted, Dialect(cfg.delimiter, cfg.encoding))
    dropped = {"interactions_with_a_wrong_number_of_cells": damaged}
    if "rating" in wanted:
        table = table.select("user_id", "item_id", as_text("rating"))
        table, dropped["interactions_below_min_rating"] = at_least(table, cfg.min_rating, path, str(cfg.rating_column))
    return table.select(*(exact_text(table, name, path) for name in ("user_id", "item_id"))), dropped
