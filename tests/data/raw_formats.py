"""Datasets written in the raw formats of their authors: any lines, or the tiny dataset."""

import gzip
import json
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from PIL import Image

from src.artifacts import INTERACTIONS_FILE, ITEMS_FILE, USERS_FILE
from src.config.datasets import AmazonConfig, MovieLensConfig, PinterestConfig, TabularConfig
from src.data.preparation.interactions import write_interactions
from src.data.sources import get_source
from src.data.sources.raw import RawTables, downloaded_path
from src.data.tables.engine import open_engine
from tests.data.raw_samples import ROOT


def read_source(cfg: Any) -> RawTables:
    """The tables of a source, with the interactions as a data frame."""
    source = get_source(cfg.source)
    with tempfile.TemporaryDirectory() as folder, open_engine(source.raw_files(cfg), Path(folder)) as engine:
        raw = source.read(cfg, engine)
        rows = [] if raw.interactions is None else raw.interactions.fetchall()
        columns = ["user_id", "item_id"] if raw.interactions is None else raw.interactions.columns
    return replace(raw, interactions=pd.DataFrame(rows, columns=columns, dtype=object))


def clean(raw: RawTables, least: int = 1) -> tuple[list[list[str]], dict[str, int]]:
    """The pairs that prepare keeps of a source's interactions, by name, and what it drops."""
    ids = sorted({item for item in raw.items["item_id"] if item})
    with tempfile.TemporaryDirectory() as name, open_engine([], Path(name)) as engine:
        folder = Path(name)
        pairs = engine.keep(pa.Table.from_pandas(raw.interactions.astype("str"), preserve_index=False), "given")
        cleaned = write_interactions(pairs, ids, least, engine, folder)
        return read_pairs(folder, ids), cleaned.dropped


def read_pairs(prepared: Path, item_ids: Any = None) -> list[list[str]]:
    """The interactions of a prepared dataset by name, in the order of the file."""
    users = pd.read_parquet(prepared / USERS_FILE)["user_id"].tolist()
    items = pd.read_parquet(prepared / ITEMS_FILE)["item_id"].tolist() if item_ids is None else item_ids
    table = pd.read_parquet(prepared / INTERACTIONS_FILE)
    assert table.dtypes.astype(str).to_dict() == {"user_idx": "int32", "item_idx": "int32"}
    return [[users[user], items[item]] for user, item in table.itertuples(index=False)]


def write_amazon(folder: Path, reviews: Iterable[str], products: Iterable[str]) -> AmazonConfig:
    """Write both files; a line may hold any text."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("reviews_Toys_and_Games_5.json.gz", "meta_Toys_and_Games.json.gz")
    for name, lines in zip(names, (reviews, products), strict=True):
        (folder / name).write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    return AmazonConfig(
        name="toys",
        raw_dir=str(folder),
        images_dir=str(folder / "images"),
        category="Toys_and_Games",
        root=ROOT,
        reviews_file=names[0],
        metadata_file=names[1],
        store_size=32,
    )


def write_movielens(folder: Path, movies: str, ratings: str, ending: str, encoding: str = "utf-8") -> MovieLensConfig:
    """Write the two tables of a release whose files end in ``ending`` (dat or csv)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"movies.{ending}").write_bytes(movies.encode(encoding))
    (folder / f"ratings.{ending}").write_bytes(ratings.encode())
    posters = str(folder / "posters")
    return MovieLensConfig(name="movielens", raw_dir=str(folder), images_dir=posters, store_size=32)


def write_pinterest(folder: Path, repins: str, urls: str, categories: str) -> PinterestConfig:
    """Write the three tables."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ImageDatasetRepinactivity.gz").write_bytes(gzip.compress(repins.encode()))
    (folder / "ImageDatasetImagesURLs.gz").write_bytes(gzip.compress(urls.encode()))
    (folder / "ImageCategoryID.txt").write_text(categories)
    images = str(folder / "images")
    return PinterestConfig(name="pinterest", raw_dir=str(folder), images_dir=images, min_repins=2, store_size=32)


def write_tabular(folder: Path, rows: Iterable[Any], pairs: Iterable[Any] = ()) -> TabularConfig:
    """Write both tables: (id, image) rows, every item of the one label, and (user, item) pairs."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    items = pd.DataFrame(rows, columns=["item_id", "image"]).assign(labels="cat")
    items.to_csv(folder / "items.csv", index=False)
    pd.DataFrame(pairs, columns=["user_id", "item_id"]).to_csv(folder / "interactions.csv", index=False)
    return TabularConfig(name="hostile", raw_dir=str(folder), images_dir=str(folder / "images"), store_size=16)


def write_image(folder: str, path: str, grey: int, **options: Any) -> None:
    """A picture unlike those of another ``grey``; PNG whatever its name, unless ``format`` says else."""
    target = Path(folder) / path
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.linear_gradient("L").resize((40, 32)).point(lambda value: (value + grey) // 2).save(
        target, **({"format": "PNG"} | options)
    )


def tiny_as_amazon(tiny: Path, folder: Path) -> AmazonConfig:
    """The tiny dataset as Amazon reviews and metadata, half of it as Python literals."""
    items, pairs = _read_tiny(tiny)
    products = []
    for place, (item, image, labels) in enumerate(items):
        paths = [["Baby", "Toys"], *([ROOT, label, "Leaf"] for label in labels)]
        product = {"asin": item, "imUrl": f"http://ecx.images-amazon.com/images/I/{item}.png", "categories": paths}
        products.append(repr(product) if place % 2 else json.dumps(product))
        _copy(tiny / "images" / image, folder / "images" / downloaded_path(product["imUrl"]))
    reviews = (json.dumps({"reviewerID": user, "asin": item}) for user, item in pairs)
    return write_amazon(folder, reviews, products)


def tiny_as_movielens(tiny: Path, folder: Path, ending: str) -> MovieLensConfig:
    """The tiny dataset as films, whose posters are JPEG by name and PNG by content."""
    items, pairs = _read_tiny(tiny)
    header, mark = (("movieId,title,genres\n", "userId,movieId,rating,timestamp\n"), ",")
    if ending == "dat":
        header, mark = ("", ""), "::"
    movies = "".join(mark.join((item, "A title (1990)", "|".join(labels))) + "\n" for item, _, labels in items)
    ratings = "".join(mark.join((user, item, "4.5", "838985046")) + "\n" for user, item in pairs)
    for item, image, _ in items:
        _copy(tiny / "images" / image, folder / "posters" / f"{item}.jpg")
    return write_movielens(folder, header[0] + movies, header[1] + ratings, ending)


def tiny_as_pinterest(tiny: Path, folder: Path) -> PinterestConfig:
    """The tiny dataset as pins; the first label of an item is the category of its repins."""
    items, pairs = _read_tiny(tiny)
    label_of = {item: labels[0] for item, _, labels in items}
    label_id = {label: str(place) for place, label in enumerate(sorted(set(label_of.values())))}
    urls = {item: f"http://media-cache-ec0.pinimg.com/736x/{item}.png" for item in label_of}
    for item, image, _ in items:
        _copy(tiny / "images" / image, folder / "images" / downloaded_path(urls[item]))
    return write_pinterest(
        folder,
        "".join(f"{item}|{user}|{label_id[label_of[item]]}|board\n" for user, item in pairs),
        "".join(f"{item}|{url}\n" for item, url in urls.items()),
        "".join(f"{label}|{number}\n" for label, number in label_id.items()),
    )


def _read_tiny(tiny: Path) -> tuple[list[tuple[str, str, list[str]]], list[tuple[str, str]]]:
    items = pd.read_csv(tiny / "items.csv", dtype=str)
    pairs = pd.read_csv(tiny / "interactions.csv", dtype=str)
    rows = [(item, image, labels.split("|")) for item, image, labels in items.itertuples(index=False)]
    return rows, list(pairs.itertuples(index=False, name=None))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
