"""Everything of a dataset that can be downloaded: raw files first, then the images that they name."""

import gzip
import logging
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import requests
from filelock import FileLock
from tqdm import tqdm

from src.config.datasets import DatasetConfig
from src.config.stages import DownloadConfig
from src.data.download.fetch import Fetched, FetchError, Wanted, fetch, hash_file, open_session, verify
from src.data.download.records import RECORDS_FILE, Record, Records
from src.data.images.decode import RefusedImageError
from src.data.images.files import load_image
from src.data.sources import get_source
from src.data.sources.raw import RawTables
from src.data.tables.engine import open_engine
from src.errors import ConfigError, DataError

logger = logging.getLogger(__name__)

FILE_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
AT_A_TIME = 1024
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
    raw_files = name_files(dataset.raw_urls)
    raw_dir.mkdir(parents=True, exist_ok=True)
    with (
        FileLock(raw_dir / f"{RECORDS_FILE}.lock"),
        Records(raw_dir / RECORDS_FILE) as records,
        open_session(cfg) as session,
    ):
        fetcher = _Fetcher(session, dataset, cfg, records)
        for name, url in raw_files.items():
            fetcher.raw_file(name, url)
        source = get_source(dataset.source)
        with open_engine(source.raw_files(dataset), raw_dir) as engine:
            raw: RawTables = source.read(dataset, engine)
        if not raw.image_urls and not dataset.raw_urls:
            raise DataError(f"Nothing of {dataset.name} can be downloaded. {dataset.obtain}")
        fetcher.images(raw.image_urls)
        logger.info("Downloads of %s: %s", dataset.name, records.summary())


def name_files(urls: Iterable[str]) -> dict[str, str]:
    """Addresses of raw files by the file names that they end in; raises ``ConfigError`` when one cannot be used."""
    files: dict[str, str] = {}
    for url in urls:
        try:
            name = PurePosixPath(urlsplit(url).path).name
        except ValueError:  # not an address
            name = ""
        if not FILE_NAME.fullmatch(name):
            raise ConfigError(f"An address in dataset.raw_urls should end in a plain file name, but is {url!r}.")
        if name in files:
            raise ConfigError(f"dataset.raw_urls should end in different file names, but two of them end in {name}.")
        files[name] = url
    return files


class _Fetcher:
    def __init__(
        self, session: requests.Session, dataset: DatasetConfig, cfg: DownloadConfig, records: Records
    ) -> None:
        self.session, self.dataset, self.cfg, self.records = session, dataset, cfg, records

    def raw_file(self, name: str, url: str) -> None:
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
        if known is not None and self._is_settled(known, target):
            return known
        try:
            present = _present(target, wanted) if known is None or known.reason is not None else None
            fetched = present or fetch(self.session, url, target, wanted, self.cfg)
            record = Record(path, url, fetched.sha256, fetched.n_bytes)
        except FetchError as error:
            if self.cfg.frozen and known is not None:  # what it should be stays in the record
                record = Record(path, url, known.sha256, known.n_bytes, str(error))
            else:
                record = Record(path, url, reason=str(error), permanent=error.permanent)
        self.records.add(record)
        return record

    def _is_settled(self, known: Record, target: Path) -> bool:
        if known.reason is None and target.is_file():
            if self.cfg.frozen:
                return hash_file(target) == (known.sha256, known.n_bytes)
            return target.stat().st_size == known.n_bytes
        if self.cfg.frozen:
            return known.sha256 is None
        return known.permanent and not target.is_file()

    def _expected(self, path: str) -> str | None:
        known = self.records.get(path)
        return known.sha256 if self.cfg.frozen and known is not None else None


def _present(target: Path, wanted: Wanted) -> Fetched | None:
    """A file that was put there by hand, or fetched just before a kill, where it is what is wanted."""
    try:
        return verify(target, wanted) if target.is_file() else None
    except FetchError:
        return None


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
    except Exception as error:  # the readers raise many kinds on damaged archives; the cause is chained
        raise FetchError("content is no whole archive", permanent=False) from error


def unpack(archive_path: Path, max_bytes: int) -> None:
    """Unpack a zip file beside itself but for the folders and files that are there; no member leaves the folder.

    Raises:
        DataError: It would unpack to more than ``max_bytes``.
    """
    folder = archive_path.parent
    for leftover in folder.glob(f"{UNPACKING}*"):  # of a killed run
        shutil.rmtree(leftover)
    with zipfile.ZipFile(archive_path) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > max_bytes:
            raise DataError(f"{archive_path} should unpack to at most {max_bytes} bytes, but would to {size}.")
        missing = [member for member in archive.infolist() if not (folder / _top(member.filename)).exists()]
        with tempfile.TemporaryDirectory(prefix=UNPACKING, dir=folder) as temporary:
            archive.extractall(temporary, missing)  # zipfile strips "..", drives and leading slashes
            for entry in Path(temporary).iterdir():
                entry.replace(folder / entry.name)


def _top(member: str) -> str:
    """The folder or file right below ``raw_dir`` that a member of an archive unpacks to."""
    return next((part for part in member.split("/") if part not in ("", ".", "..")), "")
