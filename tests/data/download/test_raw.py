import dataclasses
import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from src.config.stages import DownloadConfig
from src.data.download.fetch import FetchError
from src.data.download.obtain import check_archive, download_dataset, unpack
from src.data.download.records import Record, Records
from src.data.sources.raw import downloaded_path
from src.errors import ConfigError, DataError
from tests.data.web import items_table, part_of, picture, reply, wait_until, web_dataset

ROOT = Path(__file__).parents[3]
CFG = DownloadConfig(workers=2, attempts=2, backoff_s=0.01, timeout_s=5.0)


def test_damaged_archives_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    kinds = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    for kind in kinds:
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w", kind) as archive:
            archive.writestr("\u00fc/a.txt", b"hello" * 20 + bytes(range(200)))
        check_archive(path, ".zip")
        whole = path.read_bytes()
        refused = 0
        for _ in range(150):
            damaged = bytearray(whole)
            for _ in range(3):
                damaged[rng.integers(len(damaged))] = rng.integers(256)
            path.write_bytes(damaged)
            try:
                check_archive(path, ".zip")
            except FetchError:  # and nothing else
                refused += 1
        assert refused > 75


def test_unpack(tmp_path):
    path = tmp_path / "raw" / "a.zip"
    path.parent.mkdir()
    (tmp_path / "raw" / ".unpack.killed").mkdir()
    (tmp_path / "raw" / "kept.txt").write_text("mine")
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("../evil.txt", "/root.txt", "ml/../../ratings.dat", "kept.txt"):
            archive.writestr(name, name)
    with pytest.raises(DataError, match=r"a\.zip should unpack to at most 47 bytes, but would to 48\."):
        unpack(path, 47)
    unpack(path, 48)
    assert not (tmp_path / "evil.txt").exists()
    files = {str(file.relative_to(path.parent)): file for file in path.parent.rglob("*") if file.is_file()}
    assert sorted(files) == ["a.zip", "evil.txt", "kept.txt", "ml/ratings.dat", "root.txt"]
    assert not (path.parent / ".unpack.killed").exists()
    assert files["kept.txt"].read_text() == "mine"
    before = files["root.txt"].stat().st_ino
    unpack(path, 48)
    assert files["root.txt"].stat().st_ino == before


def test_records_are_sorted_and_read_back(tmp_path):
    path = tmp_path / "downloads.jsonl"
    a, b = Record("a", "http://a", "0" * 64, 5), Record("b", "http://b", reason="HTTP 404", permanent=True)
    records = Records(path)
    records.add(b)
    records.add(a)
    records.save()
    assert [json.loads(line)["path"] for line in path.read_text().splitlines()] == ["a", "b"]
    again = Records(path)
    assert [again.get(name) for name in "abc"] == [a, b, None]
    assert again.summary() == {"obtained": 1, "not_obtained": {"HTTP 404": 1}}


def test_records_are_written_while_the_download_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("src.data.download.records.SAVED_EVERY_S", 0.0)
    records = Records(tmp_path / "downloads.jsonl")
    records.add(Record("c", "http://c", reason="timed out"))
    assert Records(tmp_path / "downloads.jsonl").get("c").reason == "timed out"


@pytest.mark.parametrize(
    "line", [b'{"path": "c", "url"', b"\xff\xfe", b"", b"[]", b'{"path": "c", "odd": 1, "url": ""}']
)
def test_records_with_a_damaged_line(line, tmp_path):
    path = tmp_path / "downloads.jsonl"
    path.write_bytes(b'{"path": "a", "url": ""}\n' + line + b'\n{"path": "b", "url": ""}\n')
    with pytest.raises(
        DataError, match=r"downloads\.jsonl should hold one record a line, but line 2 is damaged; correct"
    ):
        Records(path)


def test_raw_files_are_fetched_and_unpacked(web, folder):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("../evil.txt", "evil")
        archive.writestr("items.csv", items_table([]) + "i1,a.png,cat,\n")
    cfg = web_dataset(folder, raw_urls=[web.page("/tables.zip", reply(stream.getvalue()))])
    for _ in range(2):
        download_dataset(cfg, CFG)
        assert web.count("/tables.zip") == 1
        assert sorted(path.name for path in folder.iterdir()) == [
            "downloads.jsonl", "downloads.jsonl.lock", "evil.txt", "images", "items.csv", "tables.zip",
        ]  # fmt: skip
    assert not (folder.parent / "evil.txt").exists()
    (folder / "downloads.jsonl").unlink()
    with pytest.raises(DataError, match=r"whole tables\.zip, but does not: not in the frozen record\. Run"):
        download_dataset(cfg, dataclasses.replace(CFG, frozen=True))


def test_raw_file_got_by_hand(web, folder):
    content = gzip.compress(items_table([]).encode() + b"i1,a.png,cat,\n")
    cfg = web_dataset(folder, raw_urls=[web.page("/items.csv.gz", reply(status=404))], items_file="items.csv.gz")
    for _ in range(2):  # a dead link is not asked for again, but said again
        with pytest.raises(DataError, match=r"items\.csv\.gz, but does not: HTTP 404\. Run .* by hand\. Buy it\."):
            download_dataset(cfg, CFG)
    assert web.count("/items.csv.gz") == 1
    (folder / "items.csv.gz").write_bytes(content)
    download_dataset(cfg, CFG)
    assert web.count("/items.csv.gz") == 1
    (folder / "downloads.jsonl").unlink()
    (folder / "items.csv.gz").write_bytes(content[:-9])  # damaged: fetched instead
    web.page("/items.csv.gz", reply(content))
    download_dataset(cfg, CFG)
    assert (folder / "items.csv.gz").read_bytes() == content


@pytest.mark.parametrize("end", ["", "/", "/?file=a.gz", "/..", "/.hidden", "/a%20b.gz", "/a b.gz", "[/a.gz"])
def test_raw_addresses_must_end_in_a_file_name(end, web, folder):
    good = web.page("/a.gz", reply(gzip.compress(b"")))
    with pytest.raises(ConfigError, match=r"An address in dataset\.raw_urls should end in a plain file name, but is"):
        download_dataset(web_dataset(folder, raw_urls=[good, "http://" + end.rpartition("/")[0] + "x" + end]), CFG)
    with pytest.raises(ConfigError, match=r"different file names, but two end in a\.gz"):
        download_dataset(web_dataset(folder, raw_urls=[good, good.replace("/a.gz", "/b/a.gz")]), CFG)
    assert web.requests == []


def test_nothing_to_download(folder):
    with pytest.raises(DataError, match=r"Nothing of mine can be downloaded\. Buy it\."):
        download_dataset(web_dataset(folder, ["a.png", ""]), CFG)


def run_until(condition, *overrides):
    """Start the entry script and kill it outright once ``condition`` holds."""
    command = [sys.executable, "main_prepare_dataset.py", "dataset=tabular", "download=true", *overrides]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, env=dict(os.environ))
    try:
        wait_until(lambda: condition() or process.poll() is not None)
    finally:
        process.kill()
    assert process.wait() == -9


@pytest.mark.slow
def test_killed_and_restarted(web, folder, tmp_path):
    urls = [web.page(f"/{n}.png", reply(picture(n))) for n in range(5)]
    urls.append(web.page("/slow.png", reply(picture(5), pause=0.05, at_once=100), reply(picture(5))))
    noise = np.random.default_rng(0).bytes(50_000).hex()
    table = gzip.compress(items_table(urls).encode() + f"last,,cat,{noise}\n".encode())
    half = len(table) // 2
    whole = part_of(table, '"v1"')
    table_url = web.page("/items.csv.gz", part_of(table, '"v1"', pause=0.05, at_once=half), whole)
    cfg = web_dataset(folder, items_file="items.csv.gz", raw_urls=[table_url])
    settings = [f"dataset.{name}={getattr(cfg, name)}" for name in ("name", "raw_dir", "items_file", "store_size")]
    settings += [f'dataset.raw_urls=["{table_url}"]', "dataset.interactions_file=null", "downloads.workers=2"]
    settings += [f"outputs_dir={tmp_path / 'outputs'}"]

    def begun_bytes():
        return sum(part.stat().st_size for part in folder.glob(".items.csv.gz.*.part"))

    run_until(lambda: begun_bytes() >= half // 2, *settings)
    assert not (folder / "items.csv.gz").exists()
    begun, sent = begun_bytes(), web.sent["/items.csv.gz"]

    def fetched():
        return sorted(path.read_bytes() for path in (folder / "images").glob("*/[!.]*.png"))

    run_until(lambda: len(fetched()) == 5 and web.count("/slow.png") == 1, *settings)
    assert (folder / "items.csv.gz").read_bytes() == table
    assert web.headers("/items.csv.gz", "Range") == [None, f"bytes={begun}-"]
    assert web.sent["/items.csv.gz"] - sent < len(table) - begun + 100  # what dripped before the end was noticed
    assert fetched() == [picture(n) for n in range(5)]

    download_dataset(cfg, CFG)
    assert [(folder / "images" / downloaded_path(url)).read_bytes() for url in urls] == [picture(n) for n in range(6)]
    assert [web.count(path) for path in ("/items.csv.gz", "/slow.png", "/0.png", "/4.png")] == [2, 2, 1, 1]
    assert Records(folder / "downloads.jsonl").summary() == {"obtained": 7, "not_obtained": {}}
    assert not list(folder.rglob(".*"))
