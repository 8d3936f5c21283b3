"""One address to one file: retried, resumed, bounded, checked, and under its final name only when whole."""

import email.utils
import hashlib
import json
import os
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

from src.config import DownloadConfig

BLOCK = 1 << 16
MAX_REDIRECTS = 5
LONGEST_WAIT_S = 120.0
RETRIED = (408, 425, 429, 500, 502, 503, 504)
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
        seconds: Longest time for one attempt; None: as long as bytes arrive.
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
    part = target.with_name(f".{target.name}.part")
    attempt = 0
    while True:
        attempt += 1
        try:
            _transfer(session, url, part, wanted, cfg)
            return _accept(part, target, wanted)
        except FetchError as error:
            if not wanted.resume or error.permanent:
                _discard(part)
            if error.permanent or attempt >= cfg.attempts:
                raise
            time.sleep(min(LONGEST_WAIT_S, max(error.wait_s, cfg.backoff_s * 2 ** (attempt - 1))))


def hash_file(path: Path) -> Fetched:
    """SHA-256 and size of a file."""
    with path.open("rb") as stream:
        return Fetched(hashlib.file_digest(stream, "sha256").hexdigest(), path.stat().st_size)


def _accept(part: Path, target: Path, wanted: Wanted) -> Fetched:
    try:
        wanted.check(part)
        fetched = hash_file(part)
        if wanted.sha256 not in (None, fetched.sha256):
            raise FetchError("content is not what the frozen record says", permanent=True)
    except FetchError:
        _discard(part)  # whole, but wrong: nothing to build upon
        raise
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    part.replace(target)
    _discard(part)
    return fetched


def _transfer(session: requests.Session, url: str, part: Path, wanted: Wanted, cfg: DownloadConfig) -> None:
    start, validator = _begun(part, url) if wanted.resume else (0, "")
    headers = {"Range": f"bytes={start}-", "If-Range": validator} if start else {}
    try:
        with _request(session, url, headers, cfg) as answer:
            if answer.status_code == 416:
                _discard(part)
                raise FetchError("server could not continue the file", permanent=False)
            if answer.status_code not in (200, 206):
                raise _refusal(answer)
            if answer.status_code == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                _discard(part)
                raise FetchError("server continued at the wrong place", permanent=False)
            start = start if answer.status_code == 206 else 0
            _note(part, url, answer)
            _write(answer, part, start, wanted)
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        # requests and urllib3 call a malformed address a ValueError, and nothing else
        raise FetchError(_reason(error), permanent=isinstance(error, ValueError)) from error


def _request(session: requests.Session, url: str, headers: dict[str, str], cfg: DownloadConfig) -> requests.Response:
    """Follow redirects by hand, so that none leaves the web."""
    for _ in range(MAX_REDIRECTS + 1):
        if urlsplit(url).scheme not in ("http", "https"):
            raise FetchError("address is not http or https", permanent=True)
        answer = session.get(url, headers=headers, stream=True, timeout=cfg.timeout_s, allow_redirects=False)
        if not answer.is_redirect:
            return answer
        url = urljoin(url, answer.headers["Location"])
        answer.close()
    raise FetchError("too many redirects", permanent=True)


def _write(answer: requests.Response, part: Path, start: int, wanted: Wanted) -> None:
    """Append the answer's bytes as they come over the wire to ``part`` from ``start`` on, within the limits."""
    length = answer.headers.get("Content-Length")
    expected = start + int(length) if length and length.isdigit() else None
    if expected is not None and expected > wanted.max_bytes:
        raise FetchError("file is too large", permanent=True)
    size = start
    with part.open("r+b" if start else "wb") as stream:
        stream.seek(start)
        stream.truncate()
        for block in _blocks(answer, wanted.seconds):
            size += stream.write(block)
            if size > wanted.max_bytes:
                raise FetchError("file is too large", permanent=True)
    if size == 0:
        raise FetchError("answer is empty", permanent=False)
    if expected is not None and size != expected:
        raise FetchError("connection ended early", permanent=False)


def _blocks(answer: requests.Response, seconds: float | None) -> Iterator[bytes]:
    deadline = None if seconds is None else time.monotonic() + seconds
    while block := answer.raw.read1(BLOCK, decode_content=False):
        yield block
        if deadline is not None and time.monotonic() > deadline:
            raise FetchError("took too long", permanent=False)


def _refusal(answer: requests.Response) -> FetchError:
    status = answer.status_code
    return FetchError(f"HTTP {status}", permanent=status not in RETRIED, wait_s=_retry_after(answer))


def _retry_after(answer: requests.Response) -> float:
    text = answer.headers.get("Retry-After", "")
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
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
    return "address is not valid"


def _begun(part: Path, url: str) -> tuple[int, str]:
    """How much of the file an earlier attempt left, and what tells the server which version of it that was."""
    try:
        note = json.loads(_note_path(part).read_text())
        if note["url"] == url and note["validator"]:
            return part.stat().st_size, note["validator"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return 0, ""


def _note(part: Path, url: str, answer: requests.Response) -> None:
    etag = answer.headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", "")
    _note_path(part).write_text(json.dumps({"url": url, "validator": validator}))


def _note_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note_path(part).unlink(missing_ok=True)
