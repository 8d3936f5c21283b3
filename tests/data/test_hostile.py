"""Ids, paths and files that mean harm: read or refused, and nothing is written outside the outputs."""

import json
import resource
import struct
import zlib
from pathlib import Path

import pandas as pd
import pytest

from src.config.datasets import TabularConfig
from src.config.stages import PrepareConfig
from src.data.images.decode import RefusedImageError
from src.data.images.store import ImageStore, load_image
from src.data.preparation.prepare import prepare_dataset
from src.data.sources.raw import downloaded_path
from src.errors import ConfigError, DataError
from tests.data.raw_formats import read_pairs, read_source, write_amazon, write_image, write_movielens, write_tabular

IDS = [
    "../../x",
    "/etc/passwd",
    "..",
    ".",
    "~",
    "C:\\x",
    "n" * 300,
    "Ünïcødé 😀",
    "a b",
    "Case",
    "case",
    "-rf",
    "%s{0}",
]
IDS += ["$(touch X)", "'; DROP TABLE items; --", "a\u202eb", "\ufeffbom", "CON", "x/../../y", "nul.\t.x"]
BINARY = ("manifest.json", "images/pixels.bin", "images/index.npz")


def tree(folder):
    """Every file below a folder with its content, the outputs left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if "outputs" not in path.relative_to(folder).parts
    }


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """Prepare a dataset below a folder, check that nothing but its outputs has changed, and return the result."""
    (tmp_path / "deep" / "cwd").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "cwd")
    outputs = tmp_path / "deep" / "outputs"

    def run(dataset):
        before = tree(tmp_path)
        try:
            prepare_dataset(PrepareConfig(dataset, outputs_dir=str(outputs), num_workers=1, figures=False))
        finally:
            assert tree(tmp_path) == before
        prepared = outputs / dataset.name / "prepared"
        names = {path.relative_to(outputs).as_posix() for path in outputs.rglob("*") if path.is_file()}
        assert names == {f"{dataset.name}/prepared.lock"} | {
            f"{dataset.name}/prepared/{name}"
            for name in (
                "items.parquet",
                "interactions.parquet",
                "users.parquet",
                "labels.json",
                "report.json",
                "report.md",
                *BINARY,
            )
        }
        return prepared, json.loads((prepared / "report.json").read_text())

    return run


def test_hostile_ids_through_prepare(tmp_path, prepare):
    cfg = write_tabular(
        tmp_path / "raw", [(name, f"{place}.png") for place, name in enumerate(IDS)], [(i, i) for i in IDS]
    )
    for place in range(len(IDS)):
        write_image(cfg.images_dir, f"{place}.png", place * 10)
    prepared, report = prepare(cfg)
    assert pd.read_parquet(prepared / "items.parquet")["item_id"].tolist() == sorted(IDS)
    assert read_pairs(prepared) == [[name, name] for name in sorted(IDS)]
    store = ImageStore.open(prepared / "images")
    assert sorted(store.item_id.tolist()) == sorted(IDS)
    assert store.ranges(IDS)[0].tolist() == [sorted(IDS).index(name) for name in IDS]
    assert report["statistics"]["images"] == len(IDS)


@pytest.mark.parametrize("place", ["id", "label", "user"])
def test_nul_in_an_id(place, tmp_path, prepare):
    cfg = write_tabular(tmp_path / "raw", [("a", "a.png"), ("b", "b.png")], [("u", "a"), ("u\0", "b")])
    write_image(cfg.images_dir, "a.png", 1)
    write_image(cfg.images_dir, "b.png", 200)
    items = {
        "id": "item_id,image,labels\na,a.png,cat\na\0,b.png,cat\n",
        "label": "item_id,image,labels\na,a.png,cat\0\n",
    }
    if place in items:
        (tmp_path / "raw" / "items.csv").write_text(items[place])
        with pytest.raises(DataError, match=r"Ids and labels should hold no NUL character, but those of 1 do: 'a"):
            prepare(cfg)
    else:
        prepared, _ = prepare(cfg)
        assert read_pairs(prepared) == [["u", "a"], ["u\0", "b"]]  # two users


def test_hostile_image_paths_through_prepare(tmp_path, prepare):
    secret = tmp_path / "secret.png"
    write_image(str(tmp_path), "secret.png", 99)
    (tmp_path / "raw" / "images").mkdir(parents=True)
    (tmp_path / "raw" / "images" / "link.png").symlink_to(secret)
    (tmp_path / "raw" / "images" / "folder.png").mkdir()
    refused = {
        "../../secret.png": "path leaves images_dir",
        "../images/../../secret.png": "path leaves images_dir",
        str(secret): "path leaves images_dir",
        "..\\..\\secret.png": "path leaves images_dir",
        "link.png": "path leaves images_dir",
        "a\0.png": "path holds a NUL character",
        "n" * 300 + ".png": "path cannot be followed",
        "folder.png": "file is missing",
        "CASE.png": "file is missing",
        "https://example.org/secret.png": "file is missing",  # not downloaded
        "file:///etc/passwd": "file is missing",
    }
    rows = [(f"bad{place:02d}", path) for place, path in enumerate(refused)]
    good = ["Ünïcødé 😀.png", "a b.png", "./sub//c.png", "case.png"]
    for place, path in enumerate(good):
        write_image(str(tmp_path / "raw" / "images"), path, place * 50)
    rows += [(f"good{place}", path) for place, path in enumerate(good)]
    prepared, report = prepare(write_tabular(tmp_path / "raw", rows))
    found = {item: reason for reason, entry in report["images"]["refused"].items() for item in entry["examples"]}
    assert found == {item: refused[path] for item, path in rows if path in refused}
    assert ImageStore.open(prepared / "images").item_id.tolist() == ["good0", "good1", "good2", "good3"]


@pytest.mark.parametrize("ending", ["dat", "csv"])
def test_hostile_film_ids(ending, tmp_path, prepare):
    ids = [name for name in IDS if "\\" not in name and "'" not in name and ":" not in name and name != "\ufeffbom"]
    if ending == "dat":
        movies = "".join(f"{name}::A title::Drama\n" for name in ids)
        ratings = "".join(f"u::{name}::5::1\n" for name in ids)
    else:
        movies = "movieId,title,genres\n" + "".join(f'"{name}",A title,Drama\n' for name in ids)
        ratings = "userId,movieId,rating,timestamp\n" + "".join(f'u,"{name}",5,1\n' for name in ids)
    cfg = write_movielens(tmp_path / "deep" / "raw", movies, ratings, ending)
    write_image(str(tmp_path), "deep/x.jpg", 9)  # where ../../x.jpg leads
    for place, name in enumerate(["Case", "case", "a b", "Ünïcødé 😀", "-rf"]):
        write_image(cfg.images_dir, f"{name}.jpg", 50 * place)
    prepared, report = prepare(cfg)
    items = pd.read_parquet(prepared / "items.parquet")
    assert items["item_id"].tolist() == sorted(ids)
    assert items.loc[items["image_paths"].str.len() > 0, "item_id"].tolist() == [
        "-rf",
        "Case",
        "a b",
        "case",
        "Ünïcødé 😀",
    ]
    leaving = report["images"]["refused"]["path leaves images_dir"]["examples"]
    assert leaving == ["../../x", "/etc/passwd", "x/../../y"]
    assert [item for _, item in read_pairs(prepared)] == sorted(ids)


def test_code_in_metadata_is_counted_and_not_run(tmp_path, prepare):
    products = [
        "{'asin': 'CODE1', 'title': __import__('os').system('touch X')}",
        "{'asin': __import__('os').system('touch X')}",
        "__import__('os').system('touch X')",
        "{'asin': 'CODE2', 'categories': [[c for c in open('X', 'w').name]]}",
        "{'asin': 'CODE3', 'imUrl': f'{open(\"X\", \"w\")}'}",
        "{'asin': 'CODE4', 'title': '__import__(\"os\").system(\"touch X\")', 'imUrl': 'http://a/b.png', "
        "'categories': [['Toys & Games', '$(touch X)', 'Leaf']]}",
        "{'asin': 'DEEP', 'x': " + "[" * 10_000 + "}",
        "{'asin': 'ESCAPE', 'title': '\\x'}",
    ]
    asins = ["CODE1", "CODE2", "CODE3", "CODE4", "DEEP", "ESCAPE"]
    reviews = [json.dumps({"reviewerID": "u", "asin": asin}) for asin in asins]
    cfg = write_amazon(tmp_path / "raw", reviews, products)
    write_image(cfg.images_dir, downloaded_path("http://a/b.png"), 5)
    prepared, report = prepare(cfg)  # which checks that there is no X
    assert report["dropped"]["metadata_that_cannot_be_read"] == 7
    assert report["dropped"]["items_without_metadata"] == 5
    assert json.loads((prepared / "labels.json").read_text()) == ["$(touch X)"]


def png(width, height, data, extra=b""):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def zeros(megabytes):
    """So many megabytes of nothing, compressed a thousandfold."""
    compressor = zlib.compressobj(9)
    return b"".join(compressor.compress(bytes(1 << 20)) for _ in range(megabytes)) + compressor.flush()


def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_decompression_bombs(tmp_path):
    cfg = TabularConfig(name="x", raw_dir=str(tmp_path), images_dir=str(tmp_path), store_size=16)
    bomb, picture = zeros(100), zlib.compress(bytes(32 * (1 + 40 * 3)))

    def outcome(content):
        (tmp_path / "bomb.png").write_bytes(content)
        try:
            return load_image(tmp_path / "bomb.png", cfg).pixels.shape
        except RefusedImageError as reason:
            return str(reason)

    assert outcome(png(40, 32, picture)) == (16, 20, 3)
    before = peak_megabytes()
    assert outcome(png(60_000, 60_000, bomb)) == "image has too many pixels"
    assert outcome(png(10_001, 10_000, bomb)) == "image has too many pixels"
    for kind in (b"zTXt", b"iCCP"):  # text and colour profile are compressed too
        content = b"k\0\0" + bomb
        chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        assert outcome(png(40, 32, picture, chunk)) == (16, 20, 3)  # neither is unpacked
    assert outcome(png(40, 32, bomb)) == (16, 20, 3)  # more data than the size needs is never unpacked
    assert peak_megabytes() - before < 60


def test_bombs_through_prepare(tmp_path, prepare):
    cfg = write_tabular(tmp_path / "raw", [("a", "a.png"), ("b", "bomb.png"), ("c", "short.png")])
    write_image(cfg.images_dir, "a.png", 5)
    Path(cfg.images_dir, "bomb.png").write_bytes(png(60_000, 60_000, zeros(10)))
    Path(cfg.images_dir, "short.png").write_bytes(png(3000, 3000, zlib.compress(b"")))  # declares what it does not hold
    _, report = prepare(cfg)
    assert report["images"]["refused"] == {
        "image has too many pixels": {"count": 1, "examples": ["b"]},
        "image is truncated or damaged": {"count": 1, "examples": ["c"]},
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_separator": ""}, r"dataset\.label_separator should be one or more characters, but is empty"),
        ({"user_column": "item_id"}, "should name different columns"),
        ({"rating_column": "item_id"}, "should name different columns"),
    ],
)
def test_settings_that_contradict_each_other(changes, message, tmp_path):
    cfg = write_tabular(tmp_path, [("a", "a.png")])
    for name, value in changes.items():
        setattr(cfg, name, value)
    with pytest.raises(ConfigError, match=message):
        read_source(cfg)
