import dataclasses
import json
import threading
from pathlib import Path

import pytest

from src.config.stages import DownloadConfig, PrepareConfig
from src.data.download.obtain import download_dataset
from src.data.images.store import ImageStore
from src.data.preparation.prepare import prepare_dataset
from src.data.sources.raw import downloaded_path
from tests.data.web import picture, reply, web_dataset

CFG = DownloadConfig(workers=2, attempts=2, backoff_s=0.01, timeout_s=5.0)
HTML = reply(b"<html><body>Not here any more</body></html>", headers={"Content-Type": "image/jpeg"})


def obtained(url, folder):
    path = folder / "images" / downloaded_path(url)
    return path.read_bytes() if path.is_file() else None


def records_of(folder):
    lines = [json.loads(line) for line in (folder / "downloads.jsonl").read_text().splitlines()]
    assert len({line["path"] for line in lines}) == len(lines)
    return {line["url"]: line for line in lines}


@pytest.fixture
def download(folder):
    """Download images, and return the record by address; the record names exactly the files that are there."""

    def download(urls, **changes):
        download_dataset(web_dataset(folder, urls), dataclasses.replace(CFG, **changes))
        records = records_of(folder)
        there = {path.name for path in (folder / "images").rglob("*") if path.is_file()}
        assert there == {Path(record["path"]).name for record in records.values() if "reason" not in record}
        return records

    return download


def test_dead_links_are_asked_for_once(web, download):
    urls = [web.page("/404.jpg", reply(status=404)), web.page("/410.jpg", reply(status=410)), web.page("/a.jpg", HTML)]
    for _ in range(2):
        records = download(urls)
        assert [records[url]["reason"] for url in urls] == [
            "HTTP 404", "HTTP 410", "file is not an image of a known format",
        ]  # fmt: skip
        assert all(records[url]["permanent"] for url in urls)
        assert [web.count(path) for path in ("/404.jpg", "/410.jpg", "/a.jpg")] == [1, 1, 1]


def test_passing_failures_are_tried_again_by_the_next_run(web, download, folder):
    failure = reply(status=500)
    url = web.page("/a.png", *[failure] * 4, reply(picture(1)))
    for n_requests in (2, 4):
        records = download([url])
        assert records[url] == {"path": downloaded_path(url), "url": url, "reason": "HTTP 500"}
        assert web.count("/a.png") == n_requests
    for _ in range(2):
        assert "reason" not in download([url])[url]
        assert web.count("/a.png") == 5
    assert obtained(url, folder) == picture(1)


def test_image_that_drips(web, download):
    url = web.page("/a.png", reply(picture(1), pause=0.05))
    assert download([url], image_seconds=0.2)[url] == {
        "path": downloaded_path(url),
        "url": url,
        "reason": "took too long",
    }
    assert web.count("/a.png") == 2


def test_no_outcome_is_lost(web, download, folder):
    def replies(n):
        whole = reply(picture(n))
        return [[reply(status=404)], [HTML], [whole], [reply(status=503), reply(picture(n), claim=50), whole]][n % 4]

    reasons = ["HTTP 404", "file is not an image of a known format", None, None] * 10
    urls = [web.page(f"/{n}.png", *replies(n)) for n in range(40)]
    records = download(urls, workers=8, attempts=3)
    assert [records[url].get("reason") for url in urls] == reasons
    assert [obtained(url, folder) for url in urls] == [None if r else picture(n) for n, r in enumerate(reasons)]
    assert len(web.requests) == 20 + 10 + 3 * 10
    assert download(urls) == records
    assert len(web.requests) == 60


def test_shared_addresses_are_fetched_once(web, download):
    url = web.page("/a.png", reply(picture(1)))
    assert list(download([url, "", url, url])) == [url]
    assert web.count("/a.png") == 1


def test_two_runs_at_once_fetch_once(web, folder):
    cfg = web_dataset(folder, [web.page(f"/{n}.png", reply(picture(n))) for n in range(6)])
    threads = [threading.Thread(target=download_dataset, args=(cfg, CFG)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path for path, _ in web.requests) == [f"/{n}.png" for n in range(6)]


def test_files_that_went_or_changed_in_size_are_fetched_again(web, download, folder):
    urls = [web.page(f"/{n}.png", reply(picture(n))) for n in range(4)]
    first = download(urls)
    (folder / "images" / downloaded_path(urls[0])).unlink()
    (folder / "images" / downloaded_path(urls[1])).write_bytes(picture(1)[:50])
    (folder / "images" / downloaded_path(urls[2])).write_bytes(picture(9) + b"more")
    assert download(urls) == first
    assert [obtained(url, folder) for url in urls] == [picture(n) for n in range(4)]
    assert [web.count(f"/{n}.png") for n in range(4)] == [2, 2, 2, 1]


def test_one_impossible_address_stops_no_other(web, download):
    wrong = ["http://[", "http://a:b:c/", "http://127.0.0.1:99999/a.png", "http://", "http://a..b/"]
    good = web.page("/a.png", reply(picture(1)))
    records = download([*wrong, good])
    assert {records[url].get("reason") for url in wrong} == {"address is not valid"}
    assert "reason" not in records[good]


def test_frozen_obtains_the_same_again(web, download, folder, caplog):
    lost = [web.page("/dead.png", reply(status=404)), web.page("/busy.png", reply(status=503))]
    urls = [*lost, *[web.page(f"/{n}.png", reply(picture(n))) for n in range(3)]]
    download(urls)
    before = (folder / "downloads.jsonl").read_bytes()
    (folder / "images" / downloaded_path(urls[2])).unlink()
    (folder / "images" / downloaded_path(urls[3])).write_bytes(picture(99))  # of the same size
    for path in ("/dead.png", "/busy.png"):
        web.page(path, reply(picture(5)))  # alive again
    urls.append(web.page("/later.png", reply(picture(4))))
    download(urls, frozen=True)
    assert [obtained(url, folder) for url in urls] == [None, None, picture(0), picture(1), picture(2), None]
    assert (folder / "downloads.jsonl").read_bytes() == before
    assert [web.count(f"/{name}.png") for name in ("dead", "busy", 0, 1, 2, "later")] == [1, 2, 2, 2, 1, 0]
    assert "1 image(s) are not in the frozen record and were left out." in caplog.text


def test_frozen_refuses_other_content_and_keeps_the_record(web, download, folder):
    url = web.page("/a.png", reply(picture(1)))
    first = download([url])
    (folder / "images" / downloaded_path(url)).unlink()
    for answer, reason in (
        (reply(picture(2)), "content is not what the frozen record says"),
        (reply(status=404), "HTTP 404"),
        (reply(status=500), "HTTP 500"),
    ):
        web.page("/a.png", answer)
        assert download([url], frozen=True) == {url: first[url] | {"reason": reason}}
    web.page("/a.png", reply(picture(1)))
    assert download([url], frozen=True) == first
    assert obtained(url, folder) == picture(1)
    (folder / "images" / downloaded_path(url)).unlink()
    web.page("/a.png", reply(picture(2)))
    download([url], frozen=True)
    assert "reason" not in download([url])[url]  # not frozen: the new content will do
    assert obtained(url, folder) == picture(2)


def test_prepared_from_the_web(web, folder, tmp_path):
    urls = [web.page(f"/{n}.png", reply(picture(n))) for n in range(4)]
    urls += [urls[0], "", web.page("/dead.png", reply(status=404)), web.page("/html.png", HTML)]
    cfg = PrepareConfig(
        web_dataset(folder, urls), str(tmp_path / "outputs"), num_workers=1, download=True, downloads=CFG
    )
    assert prepare_dataset(cfg)["images"] == 5
    prepared = tmp_path / "outputs" / "mine" / "prepared"
    report = json.loads((prepared / "report.json").read_text())
    assert report["downloads"] == {
        "obtained": 4,
        "not_obtained": {"HTTP 404": 1, "file is not an image of a known format": 1},
    }
    assert "## Downloads" in (prepared / "report.md").read_text()
    assert ImageStore.open(prepared / "images").item_id.tolist() == [f"item{n:03d}" for n in range(5)]
    made = (prepared / "manifest.json").stat().st_mtime_ns
    prepare_dataset(cfg)
    assert (prepared / "manifest.json").stat().st_mtime_ns == made
    assert len(web.requests) == 6
