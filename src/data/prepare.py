"""Stage 1: raw tables and images become ``prepared/``, checked, counted, and either whole or absent."""

import logging
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from src.artifacts import (
    IMAGES_DIR,
    INTERACTIONS_FILE,
    ITEM_COLUMNS,
    ITEMS_FILE,
    LABELS_FILE,
    MANIFEST_FILE,
    PREPARED,
    REPORT_FILE,
    load_json,
    save_json,
    save_table,
    save_text,
    sha256_of_file,
)
from src.config import PrepareConfig
from src.config.datasets import DatasetConfig
from src.data.catalog import assign_groups, clean_items, count_labels, filter_labels, merge_rare_labels
from src.data.download.obtain import download_dataset
from src.data.download.records import RECORDS_FILE, Records
from src.data.interactions import clean_interactions
from src.data.label_figure import plot_items_per_label
from src.data.report import describe_images, describe_items, render_report
from src.data.sources import RawTables, get_source
from src.data.statistics import describe
from src.data.store import write_store
from src.errors import ConfigError, DataError
from src.runs import build_manifest, content_hash, plain

logger = logging.getLogger(__name__)

FORMAT = 2  # raise it when the same raw data would give other files
NOT_DEFINING = (
    "raw_dir",
    "images_dir",
    "obtain",
    "raw_urls",
    "licence",
    "paper",
    "eval_crop",
)  # settings that change no result
REPORT_TEXT, LABEL_FIGURE = "report.md", "items_per_label"


def prepare_dataset(cfg: PrepareConfig) -> dict[str, Any]:
    """Write ``outputs/<dataset>/prepared/``, unless it is finished and made from the same settings and raw files.

    A folder is built beside it and takes its name once whole, so a stopped run leaves nothing that looks finished. A
    second process that prepares the same dataset waits, and then finds it finished.

    Returns:
        The statistics of Table 2, as in ``report.json``.

    Raises:
        ConfigError: A setting is out of range.
        DataError: A raw file is missing or not in the expected format, or nothing usable is left.
    """
    started = time.monotonic()
    check_settings(cfg.dataset)
    directory = Path(cfg.outputs_dir) / cfg.dataset.name
    if cfg.download:
        download_dataset(cfg.dataset, cfg.downloads)
    with _locked(directory):
        definition = define(cfg.dataset)
        prepared = directory / PREPARED
        if not cfg.force and is_current(prepared, definition):
            logger.info("%s is finished, skipped (force=true prepares it again).", prepared)
            statistics: dict[str, Any] = load_json(prepared / REPORT_FILE)["statistics"]
            return statistics
        temporary = Path(tempfile.mkdtemp(prefix=f".{PREPARED}.", dir=directory))
        temporary.chmod(0o755)
        try:
            report = _build(cfg, temporary)
            files = {
                path.relative_to(temporary).as_posix(): sha256_of_file(path)
                for path in sorted(temporary.rglob("*"))
                if path.is_file()
            }
            manifest = build_manifest(cfg, definition, started) | {"files": files}
            save_json(temporary / MANIFEST_FILE, manifest)
            _swap(temporary, prepared)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    statistics = report["statistics"]
    logger.info("%s is finished: %s", prepared, ", ".join(f"{key} {value}" for key, value in statistics.items()))
    return statistics


def check_settings(dataset: DatasetConfig) -> None:
    """Raise ``ConfigError`` for a setting out of range."""
    least = {"store_size": 1, "min_image_side": 1, "max_image_pixels": 1, "max_aspect_ratio": 1.0}
    for name, smallest in least.items():
        value = getattr(dataset, name)
        if value < smallest:
            raise ConfigError(f"dataset.{name} should be at least {smallest}, but is {value}.")
    if dataset.name in ("", "all", "evaluation", ".", "..") or "/" in dataset.name:
        raise ConfigError(
            f"dataset.name should be a folder name other than all and evaluation, but is {dataset.name!r}."
        )


def define(dataset: DatasetConfig) -> dict[str, Any]:
    """What defines the result: the settings, the content of the raw tables, and size and time of every image file.

    Raises:
        DataError: A raw table or the folder of images is missing.
    """
    images_dir = Path(dataset.images_dir)
    tables = get_source(dataset.source).files(dataset)
    if not images_dir.is_dir():
        how = f" {dataset.obtain}" if dataset.obtain else ""
        raise DataError(f"{images_dir} should be the folder of the images, but is none; set dataset.images_dir.{how}")
    inputs = {path.name: sha256_of_file(path) for path in tables}
    inputs["images"] = content_hash(sorted(_scan(images_dir, images_dir)))
    settings = {name: value for name, value in plain(dataset).items() if name not in NOT_DEFINING}
    return {"format": FORMAT, "settings": settings, "inputs": inputs}


def is_current(prepared: Path, definition: dict[str, Any]) -> bool:
    """Whether ``prepared`` is whole and was made by this definition."""
    if not (prepared / MANIFEST_FILE).is_file():
        return False
    manifest = load_json(prepared / MANIFEST_FILE)
    whole = all((prepared / name).is_file() for name in manifest["files"])
    if whole and manifest["definition"] != definition:
        logger.info("Settings or raw files have changed since %s was made; preparing it again.", prepared)
    return whole and bool(manifest["definition"] == definition)


def _build(cfg: PrepareConfig, target: Path) -> dict[str, Any]:
    """Write all files but the manifest to ``target`` and return the report."""
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

    save_table(target / ITEMS_FILE, items[list(ITEM_COLUMNS)])
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
    plot_items_per_label(report["items_per_label"], statistics["gini_index"], target / LABEL_FIGURE, dataset.name)
    for reason, entry in report["images"]["refused"].items():
        logger.warning("%d image(s) refused: %s (%s).", entry["count"], reason, ", ".join(entry["examples"][:3]))
    return report


def _scan(directory: Path, root: Path) -> Iterator[tuple[str, int, int]]:
    """Relative path, size and modification time of all files below ``directory``; links to folders are not followed."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _scan(Path(entry.path), root)
            else:
                status = entry.stat(follow_symlinks=False)
                yield os.path.relpath(entry.path, root), status.st_size, status.st_mtime_ns


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the dataset's lock, then clear away what killed runs left."""
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / f"{PREPARED}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info("Another process prepares %s; waiting for it.", directory)
        lock.acquire()
    try:
        for leftover in directory.glob(f".{PREPARED}.*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield
    finally:
        lock.release()


def _swap(temporary: Path, prepared: Path) -> None:
    """Give the finished folder its name; the former one, if any, is moved aside and deleted."""
    if prepared.exists():
        aside = prepared.with_name(f".{PREPARED}.old")
        prepared.rename(aside)
        temporary.rename(prepared)
        shutil.rmtree(aside)
    else:
        temporary.rename(prepared)
