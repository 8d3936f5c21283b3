"""Everything of a dataset that can be downloaded: raw files first, then the images that they name."""

import gzip
import logging
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import requests
from filelock import FileLock
from tqdm import tqdm

from src.config import DatasetConfig, DownloadConfig
from src.data.download.fetch import FetchError, Wanted, fetch, hash_file, open_session
from src.data.download.records import RECORDS_FILE, Record, Records
from src.data.images import RefusedImageError, load_image
from src.data.sources import RawTables, get_source
from src.errors import ConfigError, DataError

logger = logging.getLogger(__name__)

FILE_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
AT_A_TIME = 1024


def download_dataset(dataset: DatasetConfig, cfg: DownloadConfig) -> None:
    """Fetch raw files and images that are not there yet, and record every outcome in ``raw_dir/downloads.jsonl``.

    A dead link or a file that is no image is counted and not tried again; a failure that may pass is tried again by
    the next run. With ``cfg.frozen`` only what the record lists is fetched, and must have the content it lists.

    Raises:
        ConfigError: An address of a raw file does not end in a plain file name.
        DataError: A raw file cannot be obtained, or has to be obtained by hand.
    """
    raw_dir = Path(dataset.raw_dir)
    raw_dir.mkdir(parents=True, exist_ok=True)
    with (
        FileLock(raw_dir / f"{RECORDS_FILE}.lock"),
        Records(raw_dir / RECORDS_FILE) as records,
        open_session(cfg) as session,
    ):
        fetcher = _Fetcher(session, dataset, cfg, records)
        for url in dataset.raw_urls:
            fetcher.raw_file(url)
        raw: RawTables = get_source(dataset.source).read(dataset)
        if not raw.image_urls and not dataset.raw_urls:
            raise DataError(f"Nothing of {dataset.name} can be downloaded. {dataset.obtain}")
        fetcher.images(raw.image_urls)
        logger.info("Downloads of %s: %s", dataset.name, records.summary())


class _Fetcher:
    def __init__(
        self, session: requests.Session, dataset: DatasetConfig, cfg: DownloadConfig, records: Records
    ) -> None:
        self.session, self.dataset, self.cfg, self.records = session, dataset, cfg, records

    def raw_file(self, url: str) -> None:
        name = PurePosixPath(urlsplit(url).path).name
        if not FILE_NAME.fullmatch(name):
            raise ConfigError(f"An address in dataset.raw_urls should end in a plain file name, but is {url!r}.")
        target = Path(self.dataset.raw_dir) / name
        wanted = Wanted(self.cfg.max_file_bytes, check_archive, resume=True, sha256=self._expected(name))
        logger.info("Obtaining %s from %s", target, url)
        record = self._obtain(name, url, target, wanted)
        if record is None or record.reason is not None:
            reason = "not in the frozen record" if record is None else record.reason
            raise DataError(
                f"{url} should give a whole {name}, but does not: {reason}. Run the same command again later, or get "
                f"it by hand. {self.dataset.obtain}"
            )
        if target.suffix == ".zip":
            unpack(target, self.cfg.max_file_bytes)

    def images(self, urls: Mapping[str, str]) -> None:
        Path(self.dataset.images_dir).mkdir(parents=True, exist_ok=True)
        missing_from_record = 0
        with (
            ThreadPoolExecutor(self.cfg.workers) as pool,
            tqdm(total=len(urls), desc="downloads", unit="image", disable=None) as progress,
        ):
            try:
                entries = sorted(urls.items())
                for start in range(0, len(entries), AT_A_TIME):
                    for record in pool.map(lambda entry: self._image(*entry), entries[start : start + AT_A_TIME]):
                        missing_from_record += record is None
                        progress.update()
            finally:
                pool.shutdown(cancel_futures=True)
        if missing_from_record:
            logger.warning("%d image(s) are not in the frozen record and were left out.", missing_from_record)

    def _image(self, path: str, url: str) -> Record | None:
        def check(part: Path) -> None:
            try:
                load_image(part, self.dataset)
            except RefusedImageError as refused:
                raise FetchError(str(refused), permanent="damaged" not in str(refused)) from refused

        wanted = Wanted(self.cfg.max_image_bytes, check, self.cfg.image_seconds, sha256=self._expected(path))
        return self._obtain(path, url, Path(self.dataset.images_dir) / path, wanted)

    def _obtain(self, path: str, url: str, target: Path, wanted: Wanted) -> Record | None:
        """Outcome for one file, from the record where it is settled; None: not in the frozen record."""
        known = self.records.get(path)
        if self.cfg.frozen and known is None:
            return None
        if known is not None:
            whole = known.reason is None and target.is_file() and target.stat().st_size == known.n_bytes
            settled = known.reason is not None and (known.permanent or self.cfg.frozen) and not target.is_file()
            if whole or settled:
                return known
        try:
            if target.is_file() and known is None:
                wanted.check(target)  # put there by hand, or fetched just before a kill
                fetched = hash_file(target)
            else:
                fetched = fetch(self.session, url, target, wanted, self.cfg)
            record = Record(path, url, fetched.sha256, fetched.n_bytes)
        except FetchError as error:
            record = Record(path, url, reason=str(error), permanent=error.permanent)
        self.records.add(record)
        return record

    def _expected(self, path: str) -> str | None:
        known = self.records.get(path)
        return known.sha256 if self.cfg.frozen and known is not None else None


def check_archive(path: Path) -> None:
    """Read a ``.gz`` or ``.zip`` to its end; raises ``FetchError`` when it is damaged or something else."""
    name = path.name.removesuffix(".part")
    try:
        if name.endswith(".gz"):
            with gzip.open(path) as stream:
                while stream.read(1 << 20):
                    pass
        elif name.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
            if damaged is not None:
                raise zipfile.BadZipFile(damaged)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise FetchError("content is no whole archive", permanent=False) from error


def unpack(archive_path: Path, max_bytes: int) -> None:
    """Unpack a zip file beside itself, unless its folders and files are there; no member leaves the folder.

    Raises:
        DataError: It would unpack to more than ``max_bytes``.
    """
    with zipfile.ZipFile(archive_path) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > max_bytes:
            raise DataError(f"{archive_path} should unpack to at most {max_bytes} bytes, but would to {size}.")
        with tempfile.TemporaryDirectory(prefix=".unpack.", dir=archive_path.parent) as temporary:
            archive.extractall(temporary)  # zipfile strips "..", drives and leading slashes
            for entry in Path(temporary).iterdir():
                if not (archive_path.parent / entry.name).exists():
                    shutil.move(entry, archive_path.parent / entry.name)
