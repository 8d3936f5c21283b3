"""What a prepared dataset is made of: source, cleaning, image store, report."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

from src.artifacts import (
    IMAGES_DIR,
    INTERACTIONS_FILE,
    ITEM_COLUMNS,
    ITEMS_FILE,
    LABELS_FILE,
    REPORT_FILE,
    save_json,
    save_table,
    save_text,
)
from src.config import PrepareConfig
from src.data.catalog import assign_groups, clean_items, count_labels, filter_labels, merge_rare_labels
from src.data.download.records import RECORDS_FILE, Records
from src.data.folds import with_values
from src.data.interactions import clean_interactions
from src.data.label_figure import plot_items_per_label
from src.data.report import describe_images, describe_items, render_report
from src.data.sources import RawTables, get_source
from src.data.statistics import describe
from src.data.store import write_store
from src.errors import DataError

logger = logging.getLogger(__name__)

REPORT_TEXT, LABEL_FIGURE = "report.md", "items_per_label"


def build_dataset(cfg: PrepareConfig, target: Path) -> dict[str, Any]:
    """Write all files but the manifest to ``target`` and return the report.

    Raises:
        DataError: A raw file is missing or not in the expected format, or nothing usable is left.
    """
    dataset = cfg.dataset
    logger.info("Reading the tables of %s.", dataset.name)
    raw: RawTables = get_source(dataset.source).read(dataset)
    items, dropped = clean_items(raw.items, dataset)

    paths = {k: v for k, v in zip(items["item_id"], items["image_path"], strict=True) if isinstance(v, str)}
    contents = write_store(target / IMAGES_DIR, paths, dataset, cfg.num_workers)
    digests = contents.digests
    if not digests:
        reasons = Counter(contents.refused[path] for path in paths.values())
        shown = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
        raise DataError(
            f"At least one image in {dataset.images_dir} should be usable, but none of {len(paths)} is: "
            f"{shown or 'the item table names none'}. Check dataset.images_dir and where image paths come from."
        )
    items = items.assign(image_path=items["image_path"].where(items["image_path"].isin(digests.keys()), None))
    items, merged_labels = merge_rare_labels(items, dataset.min_items_per_label, dataset.label_levels)
    items, label_names, dropped_labels = filter_labels(items, dataset.min_items_per_label)
    items = assign_groups(items, digests)
    interactions, interactions_dropped = clean_interactions(raw, items["item_id"], dataset.min_items_per_user)

    save_table(target / ITEMS_FILE, with_values(items)[list(ITEM_COLUMNS)])
    save_table(target / INTERACTIONS_FILE, interactions)
    save_json(target / LABELS_FILE, label_names)
    statistics = describe(items, interactions, label_names)
    counts = count_labels(items)
    refused = sum(path in contents.refused for path in paths.values())
    records = Path(dataset.raw_dir) / RECORDS_FILE
    report = {
        "statistics": statistics,
        "read": {"items": len(raw.items), "interactions": len(raw.interactions)},
        "dropped": raw.dropped | dropped | interactions_dropped,
        "items": describe_items(items, interactions, len(paths), refused),
        "images": describe_images(paths, contents, dataset),
        "labels": {"merged_into_parent": merged_labels, "dropped": dropped_labels},
        "notes": raw.notes,
        "downloads": Records(records).summary() if records.is_file() else {},
        "items_per_label": {name: counts[name] for name in label_names},
    }
    save_json(target / REPORT_FILE, report)
    save_text(target / REPORT_TEXT, render_report(report, dataset))
    if cfg.figures:
        plot_items_per_label(report["items_per_label"], statistics["gini_index"], target / LABEL_FIGURE, dataset.name)
    for reason, entry in report["images"]["refused"].items():
        logger.warning("%d image(s) refused: %s (%s).", entry["count"], reason, ", ".join(entry["examples"][:3]))
    return report
