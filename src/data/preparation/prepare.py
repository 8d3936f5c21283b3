"""Stage 1: raw tables and images become ``prepared/``, checked, counted, and either whole or absent."""

import logging
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from src.artifacts import MANIFEST_FILE, PREPARED, REPORT_FILE
from src.config.datasets import DatasetConfig
from src.config.setting import check, identity
from src.config.stages import PrepareConfig
from src.data.images.folder import open_images
from src.data.sources import get_source
from src.errors import ArtifactError, ConfigError
from src.files import load_json, save_json, sha256_of_file
from src.runs import build_manifest, replace_folder, waiting_lock

logger = logging.getLogger(__name__)

FORMAT = 5  # raise it when the same raw data would give other files


def prepare_dataset(cfg: PrepareConfig) -> dict[str, Any]:
    """Write ``outputs/<dataset>/prepared/``, unless it is finished and made from the same settings and raw files.

    A folder is built beside it and takes its name once whole, so a stopped run leaves nothing that looks finished. A
    second process that prepares the same dataset waits, and then finds it finished.

    Returns the statistics of Table 2. Raises ``ArtifactError`` where, with ``verify``, a file was damaged since, and
    ``DataError`` where a raw file is missing or damaged, or nothing usable is left.
    """
    started = time.monotonic()
    check(cfg)
    check_name(cfg.dataset.name)
    directory = Path(cfg.outputs_dir) / cfg.dataset.name
    if cfg.download:
        from src.data.download.obtain import download_dataset

        download_dataset(cfg.dataset, cfg.downloads)
    directory.mkdir(parents=True, exist_ok=True)
    with waiting_lock(directory / f"{PREPARED}.lock", directory):
        for leftover in directory.glob(f".{PREPARED}.*"):  # of killed runs
            shutil.rmtree(leftover, ignore_errors=True)
        definition = define(cfg.dataset)
        prepared = directory / PREPARED
        if not cfg.force and is_current(prepared, definition):
            if cfg.verify:
                verify(prepared)
            logger.info("%s is finished, skipped (force=true prepares it again).", prepared)
            return load_json(prepared / REPORT_FILE)["statistics"]
        from src.data.preparation.build import build_dataset  # imports what a skipped dataset does not need

        temporary = Path(tempfile.mkdtemp(prefix=f".{PREPARED}.", dir=directory))
        temporary.chmod(0o755)
        try:
            report = build_dataset(cfg, temporary)
            paths = [path for path in sorted(temporary.rglob("*")) if path.is_file()]
            files = {path.relative_to(temporary).as_posix(): sha256_of_file(path) for path in paths}
            manifest = build_manifest(cfg, definition, started)
            manifest |= {"task": cfg.dataset.task, "split": cfg.dataset.split, "files": files}
            save_json(temporary / MANIFEST_FILE, manifest)
            replace_folder(prepared, temporary, prepared.with_name(f".{PREPARED}.old"))
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    statistics = report["statistics"]
    logger.info("%s is finished: %s", prepared, ", ".join(f"{key} {value}" for key, value in statistics.items()))
    return statistics


def check_name(name: str) -> None:
    """Raise ``ConfigError`` for a dataset's name that cannot be its folder's."""
    if name in ("", "all", "evaluation", ".", "..") or "/" in name:
        raise ConfigError(f"dataset.name should be a folder name other than all and evaluation, but is {name!r}.")


def define(dataset: DatasetConfig) -> dict[str, Any]:
    """What defines the result: the settings, the content of the raw tables, and size and time of every image file.

    Raises ``DataError``: a raw table or the folder of images is missing.
    """
    tables = get_source(dataset.source).raw_files(dataset)
    inputs = {os.path.relpath(path, dataset.raw_dir): sha256_of_file(path) for path in tables}
    if dataset.has_images:
        inputs["images"] = open_images(dataset).fingerprint()
    return {"format": FORMAT, "settings": identity(dataset), "inputs": inputs}


def verify(prepared: Path) -> None:
    """Read every file again; raises ``ArtifactError`` naming those whose SHA-256 is not the manifest's."""
    expected: dict[str, str] = load_json(prepared / MANIFEST_FILE)["files"]
    found = {name: sha256_of_file(prepared / name) for name in expected}
    damaged = [f"{k} (SHA-256 {found[k]} instead of {digest})" for k, digest in expected.items() if found[k] != digest]
    if damaged:
        raise ArtifactError(
            f"{len(damaged)} of {len(expected)} files in {prepared} are damaged: {', '.join(damaged)}; prepare the "
            "dataset again with force=true."
        )
    logger.info("All %d files of %s are as they were written.", len(expected), prepared)


def is_current(prepared: Path, definition: dict[str, Any]) -> bool:
    """Whether ``prepared`` is whole and was made by this definition."""
    if not (prepared / MANIFEST_FILE).is_file():
        return False
    manifest = load_json(prepared / MANIFEST_FILE)
    same: bool = manifest["definition"] == definition
    if not same:
        logger.info("Settings or raw files have changed since %s was made; preparing it again.", prepared)
    return same and all((prepared / name).is_file() for name in manifest["files"])
