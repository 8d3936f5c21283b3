"""What a prepared dataset is made of: source, cleaning, image store, report."""

import logging
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from src.artifacts import IMAGES_DIR, ITEM_COLUMNS, ITEMS_FILE, LABELS_FILE, REPORT_FILE, REPORT_TEXT
from src.config.datasets import TIME
from src.config.stages import PrepareConfig
from src.data.download.records import RECORDS_FILE, Records
from src.data.folds import N_FOLDS, incomplete_folds
from src.data.images.store import FILE_COLUMNS, write_store
from src.data.preparation.catalog import (
    assign_groups,
    clean_items,
    count_labels,
    filter_labels,
    merge_rare_labels,
    split_by_time,
)
from src.data.preparation.interactions import warn_of_losses, write_interactions
from src.data.preparation.report import (
    describe_dataset,
    describe_images,
    describe_items,
    plot_items_per_label,
    render_report,
)
from src.data.sources import get_source
from src.data.sources.labels import warn_of_twins
from src.data.sources.raw import RawTables
from src.data.tables.engine import open_engine
from src.errors import ConfigError, DataError
from src.files import save_json, save_table, save_text

logger = logging.getLogger(__name__)

LABEL_FIGURE = "items_per_label"


def build_dataset(cfg: PrepareConfig, target: Path) -> dict[str, Any]:
    """Write all files but the manifest to ``target`` and return the report.

    Raises ``DataError``: a raw file is missing or not in the expected format, or nothing usable is left.
    """
    dataset = cfg.dataset
    logger.info("Reading the tables of %s.", dataset.name)
    source = get_source(dataset.source)
    with open_engine(source.raw_files(dataset), target, cfg.memory_gb) as engine:
        raw: RawTables = source.read(dataset, engine)
        items, dropped = clean_items(raw.items.assign(values=raw.items.get("values")), dataset)
        pairs = write_interactions(
            raw.interactions, items["item_id"].tolist(), dataset.min_items_per_user, engine, target
        )
        first_met = _first_met(raw.interactions) if dataset.split == TIME else {}
    warn_of_losses(raw.dropped | pairs.dropped, pairs.n_read)
    warn_of_twins({name for names in items["labels"] if names is not None for name in names})

    images = items[["item_id", "image_paths"]].explode("image_paths").dropna().set_axis(["item_id", "path"], axis=1)
    files = pd.DataFrame(columns=FILE_COLUMNS, dtype=object)
    if dataset.has_images:
        files = write_store(target / IMAGES_DIR, images, dataset, cfg.num_workers)
    if dataset.has_images and not files["digest"].any():
        raise _no_images(images["path"], files["refused"], Path(str(dataset.images_dir)))
    digests = files["digest"].dropna()
    usable = [[path for path in paths if path in digests.index] for paths in items["image_paths"]]
    items = items.assign(image_paths=pd.Series(usable, items.index, object))
    items, merged_labels = merge_rare_labels(items, dataset.min_items_per_label, dataset.label_levels)
    items, label_names, dropped_labels = filter_labels(items, dataset.min_items_per_label)
    items = assign_groups(items, digests.to_dict())
    if dataset.split == TIME:
        items = split_by_time(items, first_met)
    if folds := incomplete_folds(items, 1 if dataset.split == TIME else N_FOLDS):
        logger.warning(
            "Fold(s) %s have no train, validation or test items: %d items lie in %d group(s), and items of one image "
            "or one dataset.group_column are never split.",
            ", ".join(map(str, folds)), len(items), items["image_group"].nunique(),
        )  # fmt: skip

    save_table(target / ITEMS_FILE, items[list(ITEM_COLUMNS)])
    save_json(target / LABELS_FILE, label_names)
    statistics = describe_dataset(items, pairs, label_names)
    counts = count_labels(items)
    records = Path(dataset.raw_dir) / RECORDS_FILE
    report = {
        "statistics": statistics,
        "read": {"items": len(raw.items), "interactions": pairs.n_read},
        "dropped": raw.dropped | dropped | pairs.dropped,
        "items": describe_items(items, pairs.users_of_item, images["item_id"].nunique()),
        "images": describe_images(images, files, dataset),
        "labels": {"merged_into_parent": merged_labels, "dropped": dropped_labels},
        "notes": raw.notes,
        "downloads": Records(records).summary() if records.is_file() else {},
        "items_per_label": {name: counts[name] for name in label_names},
    }
    save_json(target / REPORT_FILE, report)
    save_text(target / REPORT_TEXT, render_report(report, dataset))
    if not label_names:
        logger.warning("No item of %s has a label: CF models can be trained, and nothing else.", dataset.name)
    elif cfg.figures:
        plot_items_per_label(report["items_per_label"], statistics["gini_index"], target / LABEL_FIGURE, dataset.name)
    for reason, entry in report["images"]["refused"].items():
        logger.warning("%d image(s) refused: %s (%s).", entry["count"], reason, ", ".join(entry["examples"][:3]))
    return report


def _first_met(interactions: duckdb.DuckDBPyRelation | None) -> dict[str, float]:
    if interactions is None or "time" not in interactions.columns:
        raise ConfigError("dataset.split=time needs the times of interactions; set dataset.time_column.")
    return dict(interactions.filter("time IS NOT NULL").aggregate("item_id, min(time)").fetchall())


def _no_images(paths: pd.Series, refused: pd.Series, folder: Path) -> DataError:
    """The error where no file can be used; ``refused`` has the reason of each, by path."""
    shown = ", ".join(f"{reason} ({count})" for reason, count in paths.map(refused).value_counts().items())
    example = min(paths, default="")
    hint = f", such as {example!r}" if example else ""
    if example and "\0" not in example and (folder.parent / example).is_file():
        hint += f"; {folder.parent / example} is there: set dataset.images_dir={folder.parent}"
    return DataError(
        f"At least one image in {folder} should be usable, but none of {len(paths)} is: "
        f"{shown or 'the item table names none'}. Check dataset.images_dir and where image paths come from{hint}."
    )
