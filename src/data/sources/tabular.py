"""Any dataset that comes as two tables, items and interactions, of any dialect.

Labels in a text cell are names joined by ``label_separator``, or a list as Python or JSON writes it. An empty cell
means that the labels are unknown; a cell that holds the separator alone (``|``) means that the item is known to have
none. In Parquet a column may also hold lists or whole numbers: null is unknown, an empty list is none. An image may be
a path or a web address.
"""

import logging
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from src.config.datasets import TIME, TabularConfig
from src.data.sources.labels import read_labels, read_names
from src.data.sources.raw import RawTables, downloaded_path, item_table, web_address
from src.data.tables.columns import DATES, at_least, to_numbers
from src.data.tables.engine import Engine
from src.data.tables.read import parts_of, read_table, require_file
from src.data.tables.text import Dialect
from src.errors import ConfigError, DataError

logger = logging.getLogger(__name__)

NEVER = "\x1e"  # occurs in no path


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
    if not cfg.items_file and not cfg.interactions_file:
        raise ConfigError("dataset.items_file and dataset.interactions_file should not both be null.")
    *_, path = paths = _tables(cfg)
    interactions, dropped = _read_interactions(path, cfg, engine) if cfg.interactions_file else (None, {})
    if cfg.items_file:
        items, urls, dropped["item_cells_missing"] = _read_items(paths[0], cfg, engine)
    elif interactions is not None:
        named = interactions.select("item_id").distinct().filter("item_id <> ''").fetchall()
        items, urls = item_table([item for (item,) in named]), {}
    return RawTables(items, interactions, dropped, urls)


def _tables(cfg: TabularConfig) -> list[Path]:
    return [require_file(Path(cfg.raw_dir) / name, cfg) for name in (cfg.items_file, cfg.interactions_file) if name]


def _read_items(path: Path, cfg: TabularConfig, engine: Engine) -> tuple[pd.DataFrame, dict[str, str], int]:
    values = {f"value{n}": name for n, name in enumerate(sorted(cfg.value_columns))}
    wanted = {"item_id": (cfg.item_column, "item_column")}
    if cfg.has_images:
        wanted["image"] = (str(cfg.image_column), "image_column")
    wanted |= {alias: (name, "value_columns") for alias, name in values.items()}
    if cfg.labels_column and not values:
        wanted["labels"] = (cfg.labels_column, "labels_column")
    if cfg.group_column:
        wanted["image_group"] = (cfg.group_column, "group_column")
    dialect = Dialect(cfg.delimiter, cfg.encoding, fill=True)
    table, short = read_table(engine, path, wanted, dialect, as_is=("labels", "image", *values))
    if short:
        logger.warning("%s: %d row(s) end before their last cell; what is missing counts as empty.", path, short)
    for alias, name in values.items():
        table = to_numbers(table, alias, path, name)
    cells = table.to_arrow_table().to_pydict()
    columns: dict[str, Any] = {"image_group": [group or None for group in cells.get("image_group", [])]}
    images = [_paths(cell, cfg, path) for cell in cells.get("image", [])]
    urls = {image: url for own in images for image in own if (url := web_address(image))}
    columns["image_paths"] = [
        list(dict.fromkeys(downloaded_path(urls[image]) if image in urls else image for image in own)) for own in images
    ]
    if values:
        rows = zip(*(cells[alias] for alias in values), strict=True)
        columns["values"] = [None if None in row else row for row in rows]
        columns["labels"] = [row and sorted(cfg.value_columns) for row in columns["values"]]
    elif cfg.labels_column:
        labels = read_labels(cells["labels"], cfg.label_separator, path, cfg.labels_column)
        columns["labels"] = [[] if names is None and cfg.empty_is_none else names for names in labels]
    items = item_table(cells["item_id"], **{name: own for name, own in columns.items() if own})
    return items, {downloaded_path(url): url for url in urls.values()}, short


def _paths(cell: Any, cfg: TabularConfig, path: Path) -> list[str]:
    """The images of an item."""
    names = read_names(cell, cfg.image_separator or NEVER)
    if names is None:
        raise DataError(f"{path}: column {cfg.image_column!r} should hold paths or lists of paths, but holds {cell!r}.")
    return [name.strip() for name in names if name is not None and name.strip()]


def _read_interactions(
    path: Path, cfg: TabularConfig, engine: Engine
) -> tuple[duckdb.DuckDBPyRelation, dict[str, int]]:
    wanted = {"user_id": (cfg.user_column, "user_column"), "item_id": (cfg.item_column, "item_column")}
    if cfg.rating_column and cfg.min_rating is not None:
        wanted["rating"] = (cfg.rating_column, "rating_column")
    if cfg.time_column and cfg.split == TIME:
        wanted["time"] = (cfg.time_column, "time_column")
    table, damaged = read_table(engine, path, wanted, Dialect(cfg.delimiter, cfg.encoding), as_is=("rating", "time"))
    dropped = {"interactions_with_a_wrong_number_of_cells": damaged}
    if "rating" in wanted:
        table, dropped["interactions_below_min_rating"] = at_least(table, cfg.min_rating, path, str(cfg.rating_column))
    if "time" in wanted:
        table = to_numbers(table, "time", path, str(cfg.time_column), DATES)
    return table.select(*(name for name in ("user_id", "item_id", "time") if name in wanted)), dropped
