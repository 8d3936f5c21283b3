"""A web server on this machine, whose pages answer as a test tells them, and a dataset whose images it serves."""

import io
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from src.config.datasets import TabularConfig

BLOCK = 1 << 14


class Web:
    """Pages, the requests for them, and how many bytes of each were sent."""

    def __init__(self) -> None:
        self.pages: dict[str, list[Reply]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []  # path, headers
        self.sent: Counter[str] = Counter()
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.root = ""

    def page(self, path: str, *replies: "Reply") -> str:
        """Let the n-th request for ``path`` get the n-th reply, all further ones the last; returns the address."""
        self.pages[path] = list(replies)
        return self.root + path

    def count(self, path: str) -> int:
        """How often ``path`` was asked for."""
        return sum(asked == path for asked, _ in self.requests)

    def headers(self, path: str, name: str) -> list[str | None]:
        """A header of each request for ``path``."""
        return [headers.get(name) for asked, headers in self.requests if asked == path]


class Exchange(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    web: Web

    def do_GET(self) -> None:
        with self.web.lock:
            self.web.requests.append((self.path, dict(self.headers)))
            replies = self.web.pages.get(self.path) or [reply(status=404)]
            answer = replies[min(self.web.count(self.path), len(replies)) - 1]
        answer(self)

    def handle(self) -> None:
        with suppress(ConnectionError):  # the other side has had enough
            super().handle()

    def send(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def write(self, content: bytes) -> None:
        self.wfile.write(content)
        with self.web.lock:
            self.web.sent[self.path] += len(content)

    def log_message(self, *_: Any) -> None:
        pass


Reply = Callable[[Exchange], None]


def reply(
    content: bytes = b"",
    status: int = 200,
    headers: dict[str, str] | None = None,
    *,
    cut: int | None = None,
    claim: int | None = None,
    chunked: bool = False,
    pause: float = 0.0,
    at_once: int = 0,
) -> Reply:
    """An answer.

    Args:
        content: Its body.
        status: Its status.
        headers: Its headers, but for the length.
        cut: How much of the body is sent before the connection closes.
        claim: Content-Length, when it is not to be the true one.
        chunked: The body comes in chunks, without a Content-Length.
        pause: The body comes byte by byte, this many seconds apart.
        at_once: How much of the body comes before the first pause.
    """
    framing = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(claim or len(content))}

    def answer(exchange: Exchange) -> None:
        exchange.send(status, framing | (headers or {}))
        for block in _blocks(content[:cut], at_once if pause else BLOCK, 1 if pause else BLOCK):
            exchange.write(b"%x\r\n%s\r\n" % (len(block), block) if chunked else block)
            if pause and exchange.web.closing.wait(pause):
                break
        if chunked and cut is None:
            exchange.write(b"0\r\n\r\n")
        exchange.close_connection = cut is not None or claim is not None

    return answer


def stall(exchange: Exchange) -> None:
    """Say nothing until the server closes."""
    exchange.web.closing.wait(60)
    exchange.close_connection = True


def part_of(content: bytes, validator: str, *, cut: int | None = None, **framing: Any) -> Reply:
    """A server that can continue a file: ``validator`` is an ETag, or a date."""
    name = "ETag" if validator.endswith('"') else "Last-Modified"

    def answer(exchange: Exchange) -> None:
        asked = exchange.headers.get("Range")
        if asked is None:
            return reply(content, 200, {name: validator}, cut=cut, **framing)(exchange)
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            return reply(status=416, headers={"Content-Range": f"bytes */{len(content)}"})(exchange)
        headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}", name: validator}
        return reply(content[start:], 206, headers, cut=cut and cut - start, **framing)(exchange)

    return answer


@contextmanager
def serve() -> Iterator[Web]:
    """Run a server for the time of the block, reached without a proxy."""
    web = Web()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Exchange,), {"web": web}))
    server.daemon_threads, server.block_on_close = True, False
    web.root = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("NO_PROXY", "no_proxy"):
                patch.setenv(name, "*")
            yield web
    finally:
        web.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Return once ``condition`` holds; raises ``TimeoutError`` when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.01)


def picture(grey: int) -> bytes:
    """A small image; all of them have one size in bytes."""
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), (grey, grey, grey)).save(stream, "PNG", compress_level=0)
    return stream.getvalue()


def items_table(images: Iterable[str], note: str = "") -> str:
    """An item table with ``images`` as image column."""
    rows = [f"item{index:03d},{image},cat,{note}" for index, image in enumerate(images)]
    return "\n".join(["item_id,image,labels,note", *rows]) + "\n"


def web_dataset(folder: Path, images: Iterable[str] | None = None, **changes: Any) -> TabularConfig:
    """A dataset without interactions, whose item table is written to ``folder`` if ``images`` are given."""
    if images is not None:
        (folder / "items.csv").write_text(items_table(images))
    settings = {
        "name": "mine",
        "raw_dir": str(folder),
        "images_dir": str(folder / "images"),
        "interactions_file": None,
        "store_size": 16,
        "obtain": "Buy it.",
    }
    return TabularConfig(**(settings | changes))


def _blocks(content: bytes, first: int, further: int) -> Iterator[bytes]:
    if first and content:
        yield content[:first]
    for start in range(first, len(content), further):
        yield content[start : start + further]
