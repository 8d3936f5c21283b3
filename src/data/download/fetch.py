"""One address to one file: retried, resumed, bounded, checked, and under its final name only when whole."""

import email.utils
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from src.config.stages import DownloadConfig
from src.data.download.part import Begun, Part

BLOCK = 1 << 16
MAX_REDIRECTS = 5
LONGEST_WAIT_S = 120.0
RETRIED = (408, 425, 429)  # beside all of the server's own errors, 5xx
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)", re.ASCII)
HEADERS = {"User-Agent": "collaborative-image-understanding", "Accept-Encoding": "identity"}


class FetchError(Exception):
    """A file could not be obtained; the message is one of the reasons counted in the report.

    Attributes:
        permanent: Whether trying again later is pointless.
        wait_s: How long the server asked to wait.
    """

    def __init__(self, reason: str, *, permanent: bool, wait_s: float = 0.0) -> None:
        """Describe the failure; ``reason`` names no address, so that failures can be counted."""
        super().__init__(reason)
        self.permanent, self.wait_s = permanent, wait_s


class Fetched(NamedTuple):
    """Content of a whole file: SHA-256 as hex, and size in bytes."""

    sha256: str
    n_bytes: int


@dataclass(frozen=True)
class Wanted:
    """What a download must satisfy.

    Attributes:
        max_bytes: A larger answer is refused.
        seconds: Longest time for one attempt, after which no further bytes are read; None: as long as bytes arrive.
        resume: Keep what arrived of a file, and ask for the rest when the server can tell that it is the same file.
        check: Raises ``FetchError`` when the content is not what it should be.
        sha256: The content it must have; None: any.
    """

    max_bytes: int
    check: Callable[[Path], None]
    seconds: float | None = None
    resume: bool = False
    sha256: str | None = None


def open_session(cfg: DownloadConfig) -> requests.Session:
    """A session whose connections ``cfg.workers`` threads can share."""
    session = requests.Session()
    session.headers.update(HEADERS)
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=cfg.workers))
    return session


def fetch(session: requests.Session, url: str, target: Path, wanted: Wanted, cfg: DownloadConfig) -> Fetched:
    """Download ``url`` to ``target``, which appears only when whole and checked.

    Raises:
        FetchError: After ``cfg.attempts`` attempts, or at once when another attempt is pointless.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Part.of(target, url)
    attempt = 0
    while True:
        attempt += 1
        try:
            _transfer(session, part, wanted, cfg)
            return _accept(part, target, wanted)
        except FetchError as error:
            if not wanted.resume or error.permanent:
                part.discard()
            if error.permanent or attempt >= cfg.attempts:
                raise
            time.sleep(min(LONGEST_WAIT_S, max(error.wait_s, cfg.backoff_s * 2 ** (attempt - 1))))


def verify(path: Path, wanted: Wanted) -> Fetched:
    """Digest of a file that is there; raises ``FetchError`` when it is not what is wanted."""
    wanted.check(path)
    fetched = hash_file(path)
    if wanted.sha256 not in (None, fetched.sha256):
        raise FetchError("content is not what the frozen record says", permanent=True)
    return fetched


def hash_file(path: Path) -> Fetched:
    """SHA-256 and size of a file."""
    with path.open("rb") as stream:
        return Fetched(hashlib.file_digest(stream, "sha256").hexdigest(), path.stat().st_size)


def _accept(part: Part, target: Path, wanted: Wanted) -> Fetched:
    try:
        fetched = verify(part.path, wanted)
    except FetchError:
        part.discard()  # whole, but wrong: nothing to build upon
        raise
    with part.path.open("rb") as stream:
        os.fsync(stream.fileno())
    part.path.replace(target)
    part.discard()
    return fetched


def _transfer(session: requests.Session, part: Part, wanted: Wanted, cfg: DownloadConfig) -> None:
    deadline = None if wanted.seconds is None else time.monotonic() + wanted.seconds
    start, validator, whole_size = part.begun() if wanted.resume else Begun()
    if start and start == whole_size:
        return  # stopped after its last byte
    headers = {"Range": f"bytes={start}-", "If-Range": validator} if start else {}
    try:
        with _request(session, part.url, headers, cfg) as answer:
            if answer.status_code == 416:
                part.discard()
                raise FetchError("server could not continue the file", permanent=False)
            if answer.status_code not in (200, 206):
                raise _refusal(answer)
            if answer.status_code == 206 and not _continues(answer, start, validator):
                part.discard()
                raise FetchError("server continued at the wrong place", permanent=False)
            start = start if answer.status_code == 206 else 0
            whole_size = _whole_size(answer, start)
            if whole_size is not None and whole_size > wanted.max_bytes:
                raise FetchError("file is too large", permanent=True)
            if not start:
                part.discard()
                if wanted.resume:
                    part.note(answer, whole_size)
            size = _write(_blocks(answer, deadline), part.path, start, wanted.max_bytes)
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        # requests and urllib3 call a malformed address a ValueError, and nothing else
        raise FetchError(_reason(error), permanent=isinstance(error, ValueError)) from error
    if size == 0:
        raise FetchError("answer is empty", permanent=False)
    if whole_size is not None and size != whole_size:
        raise FetchError("connection ended early", permanent=False)


def _request(session: requests.Session, url: str, headers: dict[str, str], cfg: DownloadConfig) -> requests.Response:
    """Follow redirects by hand, so that none leaves the web."""
    for _ in range(MAX_REDIRECTS + 1):
        if urlsplit(url).scheme not in ("http", "https"):
            raise FetchError("address is not http or https", permanent=True)
        answer = session.get(url, headers=headers, stream=True, timeout=cfg.timeout_s, allow_redirects=False)
        location = session.get_redirect_target(answer)
        if location is None:
            return answer
        answer.close()
        url = urljoin(url, location)
    raise FetchError("too many redirects", permanent=True)


def _continues(answer: requests.Response, start: int, validator: str) -> bool:
    """Whether a 206 goes on at ``start`` with the version that ``validator`` tells of; some servers ignore If-Range."""
    match = CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    named = answer.headers.get("ETag" if validator.startswith('"') else "Last-Modified", validator)
    return match is not None and int(match[1]) == start and (start == 0 or named == validator)


def _whole_size(answer: requests.Response, start: int) -> int | None:
    """Size of the whole file, of which the answer may be a part that ends early; None: the server does not say."""
    match = CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", "")) if answer.status_code == 206 else None
    if match is not None and match[2] != "*":
        return int(match[2])
    length = answer.headers.get("Content-Length", "")
    return start + int(length) if length.isdecimal() else None


def _write(blocks: Iterator[bytes], path: Path, start: int, max_bytes: int) -> int:
    """Write ``blocks`` to ``path`` from ``start`` on and return its size."""
    size = start
    with path.open("r+b" if start else "wb") as stream:
        stream.seek(start)
        stream.truncate()
        for block in blocks:
            size += stream.write(block)
            if size > max_bytes:
                raise FetchError("file is too large", permanent=True)
    return size


def _blocks(answer: requests.Response, deadline: float | None) -> Iterator[bytes]:
    """The answer's bytes as they come over the wire."""
    while block := answer.raw.read1(BLOCK, decode_content=False):
        yield block
        if deadline is not None and time.monotonic() > deadline:
            raise FetchError("took too long", permanent=False)


def _refusal(answer: requests.Response) -> FetchError:
    status = answer.status_code
    permanent = status < 500 and status not in RETRIED
    return FetchError(f"HTTP {status}", permanent=permanent, wait_s=_retry_after(answer))


def _retry_after(answer: requests.Response) -> float:
    text = answer.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _reason(error: Exception) -> str:
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return "timed out"
    if isinstance(error, (urllib3.exceptions.ProtocolError, requests.exceptions.ChunkedEncodingError)):
        return "connection ended early"
    if isinstance(error, requests.exceptions.SSLError):
        return "certificate is not valid"
    if isinstance(error, requests.ConnectionError):
        return "server cannot be reached"
    return "address is not valid" if isinstance(error, ValueError) else "connection failed"
