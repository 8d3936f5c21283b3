"""One address to one file: retried, resumed, bounded, checked, and under its final name only when whole."""

import glob
import hashlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests
import urllib3
from requests.adapters import HTTPAdapter

from src.config.stages import DownloadConfig

BLOCK = 1 << 16
LONGEST_WAIT_S = 120
RETRIED = (408, 425, 429)  # beside all of the server's own errors, 5xx
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)", re.ASCII)
HEADERS = {"User-Agent": "collaborative-image-understanding", "Accept-Encoding": "identity"}
REASONS = (
    ((requests.exceptions.TooManyRedirects,), "too many redirects"),
    ((requests.Timeout, urllib3.exceptions.TimeoutError), "timed out"),
    ((urllib3.exceptions.ProtocolError, requests.exceptions.ChunkedEncodingError), "connection ended early"),
    ((requests.exceptions.SSLError,), "certificate is not valid"),
    ((requests.ConnectionError,), "server cannot be reached"),
    ((ValueError,), "address is not valid"),  # what requests and urllib3 call a malformed address
)


class FetchError(Exception):
    """A file could not be obtained; the message is one of the reasons counted in the report, without address."""

    def __init__(self, reason: str, *, permanent: bool = False, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.permanent, self.wait_s = permanent, wait_s


@dataclass(frozen=True)
class Wanted:
    """What a download must satisfy."""

    max_bytes: int
    check: Callable[[Path], None]  # raises FetchError
    seconds: float | None = None  # for one attempt; None: as long as bytes arrive
    resume: bool = False  # keep what arrived, and ask for the rest where the server can tell that it is the same file


def open_session(cfg: DownloadConfig) -> requests.Session:
    """A session whose connections ``cfg.workers`` threads can share; it knows no scheme but those of the web."""
    session = requests.Session()
    session.headers.update(HEADERS)
    session.max_redirects = 5
    session.adapters.clear()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=cfg.workers))
    return session


def fetch(session: requests.Session, url: str, target: Path, wanted: Wanted, cfg: DownloadConfig) -> None:
    """Download ``url`` to ``target``, which appears only when whole and checked.

    Raises ``FetchError``: after ``cfg.attempts`` attempts, or at once when another attempt is pointless.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    attempt = 0
    while True:
        attempt += 1
        try:
            part = _transfer(session, url, target, wanted, cfg)
            try:
                wanted.check(part)
            except FetchError:  # whole, but wrong: nothing to build upon
                part.unlink()
                raise
            part.replace(target)
            return
        except FetchError as error:
            if not wanted.resume or error.permanent:
                _discard(target)
            if error.permanent or attempt >= cfg.attempts:
                raise
            time.sleep(min(LONGEST_WAIT_S, max(error.wait_s, cfg.backoff_s * 2 ** (attempt - 1))))


def _transfer(session: requests.Session, url: str, target: Path, wanted: Wanted, cfg: DownloadConfig) -> Path:
    """Get the whole file, or the rest of it, under a temporary name."""
    begun = next(target.parent.glob(f".{glob.escape(target.name)}.{'?' * 16}.*.part"), None)
    start = begun.stat().st_size if begun else 0
    if begun and begun.suffixes[-2] == f".{start}":
        return begun  # stopped after its last byte
    headers = {"Range": f"bytes={start}-"} if start else {}
    deadline = time.monotonic() + (wanted.seconds or float("inf"))
    try:
        with session.get(url, headers=headers, stream=True, timeout=cfg.timeout_s) as answer:
            if answer.status_code not in (200, 206, 416):
                raise _refusal(answer)
            place, whole_size = _extent(answer)
            part = _part(target, url, answer, whole_size)
            if answer.status_code != 200 and (part != begun or place != start):
                _discard(target)
                raise FetchError("server could not continue the file")
            if (whole_size or 0) > wanted.max_bytes:
                raise FetchError("file is too large", permanent=True)
            if place == 0:
                _discard(target)
            with part.open("ab") as stream:
                while block := answer.raw.read1(BLOCK, decode_content=False):
                    place += stream.write(block)
                    if place > wanted.max_bytes:
                        raise FetchError("file is too large", permanent=True)
                    if time.monotonic() > deadline:
                        raise FetchError("took too long")
                stream.flush()
                os.fsync(stream.fileno())
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        reason = next((text for kinds, text in REASONS if isinstance(error, kinds)), "connection failed")
        permanent = isinstance(error, (ValueError, requests.exceptions.TooManyRedirects))
        raise FetchError(reason, permanent=permanent) from error
    if place == 0:
        raise FetchError("answer is empty")
    if whole_size not in (None, place):
        raise FetchError("connection ended early")
    return part


def _extent(answer: requests.Response) -> tuple[int, int | None]:
    """Where an answer begins in the file (-1: it does not say), and the size of the whole file, if known."""
    if answer.status_code == 200:
        length = answer.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    match = CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    return (int(match[1]), int(match[2])) if match else (-1, None)


def _part(target: Path, url: str, answer: requests.Response, whole_size: int | None) -> Path:
    """Where to write an answer; if it can be continued, the name tells address, version and size of the whole."""
    etag = answer.headers.get("ETag", "")  # a weak one, W/"...", does not tell bytes apart
    version = etag if etag.startswith('"') else answer.headers.get("Last-Modified", "")
    if not version:
        return target.with_name(f".{target.name}.part")
    key = hashlib.sha256(f"{url}\n{version}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return target.with_name(f".{target.name}.{key}.{whole_size}.part")


def _discard(target: Path) -> None:
    for part in target.parent.glob(f".{glob.escape(target.name)}.*part"):
        part.unlink()


def _refusal(answer: requests.Response) -> FetchError:
    status = answer.status_code
    try:
        wait = urllib3.Retry(retry_after_max=LONGEST_WAIT_S).get_retry_after(answer.raw)
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        wait = None
    return FetchError(f"HTTP {status}", permanent=status < 500 and status not in RETRIED, wait_s=wait or 0.0)
