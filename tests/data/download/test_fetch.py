import dataclasses
import gzip
import io
import time
from functools import partial

import numpy as np
import pytest
from PIL import Image

from src.config.datasets import TabularConfig
from src.config.stages import DownloadConfig
from src.data.download import fetch as fetching
from src.data.download.fetch import FetchError, Wanted, fetch, open_session
from src.data.download.obtain import check_archive
from src.data.images.decode import RefusedImageError
from src.data.images.store import load_image
from tests.data.web import part_of, reply, stall

NOISE = np.random.default_rng(0).integers(0, 256, 30_000, np.uint8)
ARCHIVE = gzip.compress(NOISE.tobytes(), mtime=0)
OTHER = gzip.compress(NOISE[::-1].tobytes(), mtime=0)
HALF = len(ARCHIVE) // 2
CFG = DownloadConfig(workers=2, attempts=3, backoff_s=0.01, timeout_s=5.0)
HASTY = dataclasses.replace(CFG, timeout_s=0.5)
Image.fromarray(NOISE[:4800].reshape(40, 40, 3)).save(stream := io.BytesIO(), "JPEG")
JPEG = stream.getvalue()


@pytest.fixture
def get(tmp_path):
    """Fetch an address as an image (``.jpg``) or as a raw file; what is left on disk is checked by ``left``."""

    def check_image(path):
        try:
            load_image(path, TabularConfig(name="x", raw_dir="", images_dir=""))
        except RefusedImageError as refused:
            raise FetchError(str(refused), permanent=False) from refused

    def get(url, cfg=CFG, **limits):
        raw = not url.endswith(".jpg")
        limits = {
            "max_bytes": 10**6,
            "check": partial(check_archive, kind=".gz" if url.endswith(".gz") else "") if raw else check_image,
            "resume": raw,
        } | limits
        with open_session(cfg) as session:
            target = tmp_path / "files" / url.rpartition("/")[2]
            fetch(session, url, target, Wanted(**limits), cfg)
            return target.read_bytes()

    get.left = lambda: sorted(path.name for path in (tmp_path / "files").iterdir())
    return get


def refuse(get, url, cfg=CFG, **limits):
    with pytest.raises(FetchError) as caught:
        get(url, cfg, **limits)
    return str(caught.value), caught.value.permanent


@pytest.mark.slow
def test_stalls_and_works_on_retry(web, get):
    assert get(web.page("/a.jpg", stall, reply(JPEG)), HASTY) == JPEG
    assert web.count("/a.jpg") == 2
    assert get(web.page("/b.jpg", reply(JPEG, pause=9, at_once=100), reply(JPEG)), HASTY) == JPEG
    assert get.left() == ["a.jpg", "b.jpg"]
    assert refuse(get, web.page("/c.jpg", stall), HASTY) == ("timed out", False)
    assert web.count("/c.jpg") == 3


def test_drips_beyond_its_time(web, get):
    url = web.page("/a.jpg", reply(JPEG, pause=0.05))  # would take a minute
    started = time.monotonic()
    assert refuse(get, url, seconds=0.3) == ("took too long", False)
    assert time.monotonic() - started < 10
    assert web.count("/a.jpg") == 3
    assert get.left() == []
    slow = web.page("/b.jpg", reply(JPEG, pause=0.1, at_once=len(JPEG) - 5))
    assert get(slow, HASTY) == JPEG  # no limit while bytes arrive


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("cut", [0, 1, 700, len(JPEG) - 1])
def test_truncated_once_and_always(cut, chunked, web, get):
    assert get(web.page("/a.jpg", reply(JPEG, cut=cut, chunked=chunked), reply(JPEG, chunked=chunked))) == JPEG
    assert web.count("/a.jpg") == 2
    always = web.page("/b.jpg", reply(JPEG, cut=cut, chunked=chunked))
    assert refuse(get, always) == ("connection ended early", False)
    assert web.count("/b.jpg") == 3
    assert get.left() == ["a.jpg"]


def test_claims_to_be_shorter_than_it_is(web, get):
    image = web.page("/a.jpg", reply(JPEG, claim=len(JPEG) - 200))
    assert refuse(get, image)[0] == "image is truncated or damaged"
    archive = web.page("/a.gz", part_of(ARCHIVE, '"v1"', claim=HALF))
    assert refuse(get, archive) == ("content is no whole archive", False)
    assert get.left() == []  # nothing to build upon
    assert get(web.page("/a.gz", part_of(ARCHIVE, '"v1"'))) == ARCHIVE


def test_empty(web, get):
    assert refuse(get, web.page("/a.jpg", reply())) == ("answer is empty", False)
    assert get(web.page("/b.jpg", reply(), reply(JPEG))) == JPEG


@pytest.mark.parametrize("answer", [reply(JPEG, chunked=True), reply(b"begun", claim=10**9)])
def test_too_large(answer, web, get):
    assert refuse(get, web.page("/a.jpg", answer), max_bytes=len(JPEG) - 1) == ("file is too large", True)
    assert web.count("/a.jpg") == 1
    assert get.left() == []
    assert get(web.page("/b.jpg", reply(JPEG)), max_bytes=len(JPEG)) == JPEG


def test_redirects(web, get):
    def move(to, status=302):
        return reply(b"moved", status, {"Location": to})

    web.page("/final%C3%A9.jpg", reply(JPEG))
    web.page("/c", move(f"{web.root}/final\u00e9.jpg".encode().decode("latin-1"), 307))  # bytes of UTF-8
    web.page("/b", move("c", 308))
    assert get(web.page("/a.jpg", move("/b", 301))) == JPEG
    assert refuse(get, web.page("/loop.jpg", move("/loop.jpg"))) == ("too many redirects", True)
    assert web.count("/loop.jpg") == 6
    for number, to in enumerate(["http://[", "\xff", "//"]):
        assert refuse(get, web.page(f"/{number}.jpg", move(to)))[1]
    assert refuse(get, web.page("/nowhere.jpg", reply(status=302))) == ("HTTP 302", True)
    assert get.left() == ["a.jpg"]


def test_redirects_out_of_the_web(web, get, tmp_path):
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(JPEG)
    url = web.page("/a.jpg", reply(status=302, headers={"Location": secret.as_uri()}))
    assert refuse(get, url) == ("address is not valid", True)
    assert refuse(get, secret.as_uri()) == ("address is not valid", True)
    assert web.count("/a.jpg") == 1
    assert get.left() == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451, 204])
def test_dead(status, web, get):
    assert refuse(get, web.page("/a.jpg", reply(status=status))) == (f"HTTP {status}", True)
    assert web.count("/a.jpg") == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 520])
def test_may_pass(status, web, get):
    assert refuse(get, web.page("/a.jpg", reply(b"sorry", status))) == (f"HTTP {status}", False)
    assert web.count("/a.jpg") == 3
    assert get(web.page("/b.jpg", reply(b"sorry", status), reply(JPEG))) == JPEG


FAR_AHEAD = "Thu, 01 Jan 2099 00:00:00 GMT"


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        *[("7", 7.0), ("0", 0.01), ("-5", 0.01), ("86400", 120.0), ("9" * 400, 120.0), ("soon", 0.01), ("\xb2", 0.01)],
        ("Mon, 01 Jan 2024 00:00:00 +9999999999999999", 0.01),
        (FAR_AHEAD, 120.0),
    ],
)
def test_waits_as_asked(asked, waited, web, get, monkeypatch):
    waits = []
    url = web.page("/a.jpg", reply(status=429, headers={"Retry-After": asked}), reply(status=500), reply(JPEG))
    monkeypatch.setattr(fetching.time, "sleep", waits.append)
    assert get(url) == JPEG
    assert waits == [waited, 0.02]


def test_resumes(web, get):
    first, further = part_of(ARCHIVE, '"v1"', cut=HALF), part_of(ARCHIVE, '"v1"')
    assert get(web.page("/a.gz", first, further)) == ARCHIVE
    assert web.headers("/a.gz", "Range") == [None, f"bytes={HALF}-"]
    assert web.sent["/a.gz"] == len(ARCHIVE)
    assert get.left() == ["a.gz"]


def test_resumes_in_another_run_and_by_date(web, get):
    date = "Mon, 01 Jan 2024 00:00:00 GMT"
    cuts = [part_of(ARCHIVE, date, cut=HALF + 1000 * step) for step in range(3)]
    url = web.page("/a.gz", *cuts, reply(status=503), reply(status=503), reply(status=503), part_of(ARCHIVE, date))
    assert refuse(get, url) == ("connection ended early", False)
    assert refuse(get, url) == ("HTTP 503", False)
    assert len(get.left()) == 1
    assert get(url) == ARCHIVE
    assert web.sent["/a.gz"] == len(ARCHIVE)


def test_begun_at_another_address_starts_over(web, get):
    begun = web.page("/a.dat", part_of(OTHER, '"v1"', cut=HALF), reply(status=503))
    refuse(get, begun)
    assert get(web.page("/b/a.dat", part_of(ARCHIVE, '"v1"'))) == ARCHIVE


def test_gone_meanwhile_leaves_nothing(web, get):
    assert refuse(get, web.page("/a.gz", part_of(ARCHIVE, '"v1"', cut=HALF), reply(status=410))) == ("HTTP 410", True)
    assert get.left() == []


def test_stopped_after_the_last_byte(web, get, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    url = web.page("/a.gz", part_of(ARCHIVE, '"v1"'))
    with pytest.raises(KeyboardInterrupt):
        get(url, check=killed)
    assert len(get.left()) == 1
    assert get(url) == ARCHIVE
    assert web.count("/a.gz") == 1


ASTRAY = {"ETag": '"v1"', "Content-Range": f"bytes {HALF - 9}-{len(ARCHIVE) - 1}/{len(ARCHIVE)}"}


@pytest.mark.parametrize(
    ("further", "ranges"),
    [
        ([part_of(ARCHIVE, '"v2"')], [HALF, None]),  # changed meanwhile
        ([reply(ARCHIVE)], [HALF]),  # no ranges at all
        ([reply(ARCHIVE[HALF - 9 :], 206, ASTRAY), part_of(ARCHIVE, '"v1"')], [HALF, None]),
        ([reply(ARCHIVE[HALF:], 206), part_of(ARCHIVE, '"v1"')], [HALF, None]),  # does not say where
        ([reply(status=416), part_of(ARCHIVE, '"v1"')], [HALF, None]),
    ],
)
def test_starts_over(further, ranges, web, get):
    url = web.page("/a.dat", part_of(OTHER, '"v1"', cut=HALF), *further)  # no archive: a mixture would go unnoticed
    assert get(url) == ARCHIVE
    assert web.headers("/a.dat", "Range") == [None] + [at and f"bytes={at}-" for at in ranges]


def test_part_that_ends_early_is_not_the_end(web, get):
    content = NOISE.tobytes()  # no archive, so that nothing but its size tells that it is whole
    total = {"ETag": '"v1"', "Content-Range": f"bytes {HALF}-{HALF + 99}/{len(content)}"}
    replies = [part_of(content, '"v1"', cut=HALF), reply(content[HALF : HALF + 100], 206, total)]
    assert get(web.page("/a.dat", *replies, part_of(content, '"v1"'))) == content
    assert web.headers("/a.dat", "Range") == [None, f"bytes={HALF}-", f"bytes={HALF + 100}-"]


@pytest.mark.parametrize("etag", ['W/"v1"', "v1", ""])
def test_version_that_cannot_be_told_is_not_resumed(etag, web, get):
    first = reply(OTHER, 200, {"ETag": etag} if etag else {}, cut=HALF)
    assert get(web.page("/a.gz", first, part_of(ARCHIVE, etag))) == ARCHIVE
    assert web.headers("/a.gz", "Range") == [None, None]
