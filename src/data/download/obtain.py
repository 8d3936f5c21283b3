"""Everything of a dataset that can be downloaded: raw files first, then the images that they name."""

import gzip
import logging
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import requests
from filelock import FileLock

from src.config.datasets import DatasetConfig
from src.config.stages import DownloadConfig
from src.console import progress
from src.data.download.fetch import FetchError, Wanted, fetch, open_session
from src.data.download.records import RECORDS_FILE, Record, Records
from src.data.images.decode import RefusedImageError
from src.data.images.store import load_image
from src.data.sources import get_source
from src.data.sources.raw import RawTables
from src.data.tables.engine import open_engine
from src.errors import ConfigError, DataError
from src.files import sha256_of_file
from src.machine import map_in_order

logger = logging.getLogger(__name__)

FILE_ADDRESS = re.compile(r"https?://[^?#\s\[\]]+/([A-Za-z0-9][\w.-]*)([?#].*)?", re.ASCII)
UNPACKING = ".unpack."  # begins the name of the folder where an archive is unpacked


def download_dataset(dataset: DatasetConfig, cfg: DownloadConfig) -> None:
    """Fetch raw files and images that are not there yet, and record every outcome in ``raw_dir/downloads.jsonl``.

    A dead link or a file that is no image is counted and not tried again; a failure that may pass is tried again by
    the next run. With ``cfg.frozen`` only what the record lists is fetched, and must have the content it lists.

    Raises:
        ConfigError: An address of a raw file does not end in a plain file name, or in the same one as another.
        DataError: A raw file cannot be obtained, or has to be obtained by hand.
    """
    raw_dir = Path(dataset.raw_dir)
    if "://" in str(dataset.images_dir):
        raise ConfigError(f"download=true writes to a folder, but dataset.images_dir is {dataset.images_dir}.")
    raw_files = name_files(dataset.raw_urls)
    raw_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(raw_dir / f"{RECORDS_FILE}.lock"), open_session(cfg) as session:
        fetcher = _Fetcher(session, cfg, Records(raw_dir / RECORDS_FILE))
        try:
            for name, url in raw_files.items():
                fetcher.raw_file(raw_dir / name, url, dataset.obtain)
            source = get_source(dataset.source)
            with open_engine(source.raw_files(dataset), raw_dir) as engine:
                raw: RawTables = source.read(dataset, engine)
            if not raw.image_urls and not dataset.raw_urls:
                raise DataError(f"Nothing of {dataset.name} can be downloaded. {dataset.obtain}")
            if dataset.has_images:
                fetcher.images(raw.image_urls, Path(str(dataset.images_dir)), dataset)
        finally:
            fetcher.records.save()
        logger.info("Downloads of %s: %s", dataset.name, fetcher.records.summary())


def name_files(urls: Iterable[str]) -> dict[str, str]:
    """Addresses of raw files by the file names that they end in; raises ``ConfigError`` when one cannot be used."""
    files: dict[str, str] = {}
    for url in urls:
        match = FILE_ADDRESS.fullmatch(url)
        if match is None:
            raise ConfigError(f"An address in dataset.raw_urls should end in a plain file name, but is {url!r}.")
        if files.setdefault(match[1], url) is not url:
            raise ConfigError(f"dataset.raw_urls should end in different file names, but two end in {match[1]}.")
    return files


@dataclass(frozen=True)
class _Fetcher:
    session: requests.Session
    cfg: DownloadConfig
    records: Records

    def raw_file(self, target: Path, url: str, how: str) -> None:
        logger.info("Obtaining %s from %s", target, url)
        wanted = Wanted(self.cfg.max_file_bytes, partial(check_archive, kind=target.suffix), resume=True)
        record = self.obtain(target.name, url, target.parent, wanted)
        if record is None or record.reason is not None:
            reason = "not in the frozen record" if record is None else record.reason
            raise DataError(
                f"{url} should give a whole {target.name}, but does not: {reason}. Run the same command again later, "
                f"or get it by hand. {how}"
            )
        if target.suffix == ".zip":
            unpack(target, self.cfg.max_file_bytes)

    def images(self, urls: Mapping[str, str], folder: Path, dataset: DatasetConfig) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        wanted = Wanted(self.cfg.max_image_bytes, partial(_check_image, dataset), self.cfg.image_seconds)
        done = map_in_order(lambda one: self.obtain(*one, folder, wanted), sorted(urls.items()), self.cfg.workers)
        unlisted = sum(record is None for _, record in progress(done, "downloads", len(urls), unit="image"))
        if unlisted:
            logger.warning("%d image(s) are not in the frozen record and were left out.", unlisted)

    def obtain(self, path: str, url: str, folder: Path, wanted: Wanted) -> Record | None:
        """Outcome for one file, from the record where it is settled; None: not in the frozen record."""
        known, target, frozen = self.records.get(path), folder / path, self.cfg.frozen
        if frozen and (known is None or known.sha256 is None):
            return known
        there = target.is_file()
        if known is not None and not frozen:
            whole = there and target.stat().st_size == known.n_bytes
            if whole if known.reason is None else known.permanent and not there:
                return known
        same = replace(wanted, check=partial(_check_same, wanted.check, None if known is None else known.sha256))
        try:
            if not (there and _passes(target, same)):  # put there by hand, or fetched just before a kill
                fetch(self.session, url, target, same if frozen else wanted, self.cfg)
            record = Record(path, url, sha256_of_file(target), target.stat().st_size)
        except FetchError as error:
            failed = known if frozen and known else Record(path, url, permanent=error.permanent)
            record = replace(failed, reason=str(error))
        self.records.add(record)
        return record


def _passes(path: Path, wanted: Wanted) -> bool:
    try:
        wanted.check(path)
    except FetchError:
        return False
    return True


def _check_same(check: Callable[[Path], None], sha256: str | None, path: Path) -> None:
    check(path)
    if sha256 not in (None, sha256_of_file(path)):
        raise FetchError("content is not what the frozen record says", permanent=True)


def _check_image(dataset: DatasetConfig, path: Path) -> None:
    try:
        load_image(path, dataset)
    except RefusedImageError as refused:
        raise FetchError(str(refused), permanent="damaged" not in str(refused)) from refused


def check_archive(path: Path, kind: str) -> None:
    """Read a ``.gz`` or ``.zip`` to its end; raises ``FetchError`` when it is damaged or something else."""
    try:
        if kind == ".gz":
            with gzip.open(path) as stream:
                while stream.read(1 << 20):
                    pass
        elif kind == ".zip":
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
            if damaged is not None:
                raise zipfile.BadZipFile(damaged)
    except Exception as error:  # the readers raise many kinds on damaged archives; the cause is chained
        raise FetchError("content is no whole archive") from error


def unpack(archive_path: Path, max_bytes: int) -> None:
    """Unpack a zip file beside itself but for the folders and files that are there; no member leaves the folder.

    Raises ``DataError``: it would unpack to more than ``max_bytes``.
    """
    folder = archive_path.parent
    for leftover in folder.glob(f"{UNPACKING}*"):  # of a killed run
        shutil.rmtree(leftover)
    with zipfile.ZipFile(archive_path) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > max_bytes:
            raise DataError(f"{archive_path} should unpack to at most {max_bytes} bytes, but would to {size}.")
        with tempfile.TemporaryDirectory(prefix=UNPACKING, dir=folder) as temporary:
            archive.extractall(temporary)  # zipfile strips "..", drives and leading slashes
            for entry in Path(temporary).iterdir():
                if not (folder / entry.name).exists():
                    entry.replace(folder / entry.name)
