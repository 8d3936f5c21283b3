"""Raw files at the size of the paper's datasets, generated: the right formats and counts, random content."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from src.data.sources.raw import downloaded_path

WORDS = [
    *("doll plain red great soft easy to wash ages three small game for kids fun box " * 6).split(),
    "toy's",
    '12"',
]
N_IMAGES = 50  # pictures on disk; every other image counts as missing


def write_movielens(folder: Path, n_users: int, n_movies: int, n_ratings: int, seed: int = 0) -> None:
    """``movies.dat`` and ``ratings.dat`` as MovieLens 10M has them, with ``n_ratings`` distinct pairs."""
    rng = np.random.default_rng(seed)
    genres = ["Action", "Comedy", "Drama", "Horror", "IMAX"]
    lines = [f"{i}::Film: the {i}th (1999)::{'|'.join(rng.permutation(genres)[: 1 + i % 3])}" for i in range(n_movies)]
    (folder / "movies.dat").write_text("\n".join(lines) + "\n", encoding="utf-8")
    pairs = np.unique(rng.integers(0, n_users * n_movies, size=int(n_ratings * 1.05)))
    pairs = rng.permutation(pairs)[:n_ratings]
    user, movie = np.divmod(pairs, n_movies)
    blank = pd.Series([""]).repeat(len(pairs)).to_numpy()
    table = pd.DataFrame({"u": user, "a": blank, "m": movie, "b": blank, "r": rng.integers(1, 11, len(pairs)) / 2})
    table.assign(c=blank, t=838985046).to_csv(folder / "ratings.dat", sep=":", header=False, index=False)
    _write_images(folder / "posters", [f"{i}.jpg" for i in range(n_movies)])


def write_amazon(folder: Path, n_products: int, n_reviewed: int, n_reviews: int, seed: int = 0) -> None:
    """Reviews and metadata as Amazon's of 2014; the first ``n_reviewed`` of ``n_products`` have reviews."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(n_products)
    related = [f"B{i:09d}" for i in rng.integers(0, n_products, 1000)]
    with gzip.open(folder / "meta_Made_Up.json.gz", "wt", compresslevel=1, encoding="utf-8") as stream:
        for number in order:
            start = int(rng.integers(0, 900))
            record = {
                "asin": f"B{number:09d}",
                "title": " ".join(rng.choice(WORDS, 8)),
                "description": " ".join(rng.choice(WORDS, 60)),
                "price": round(float(rng.uniform(1, 99)), 2),
                "imUrl": _address(int(number)),
                "related": {"also_bought": related[start : start + 40], "also_viewed": related[start : start + 40]},
                "salesRank": {"Made Up": int(number)},
                "categories": [["Made Up", f"Level {number % 12}", f"Deep {number % 60}", "Leaf"]],
            }
            stream.write(f"{record!r}\n")
    first = np.arange(n_reviewed)
    items = np.concatenate([first, rng.integers(0, n_reviewed, n_reviews - n_reviewed)])
    users = rng.integers(0, n_reviews // 7, n_reviews)
    with gzip.open(folder / "reviews_Made_Up_5.json.gz", "wt", compresslevel=1, encoding="utf-8") as stream:
        for user, item in zip(users.tolist(), items.tolist(), strict=True):
            review = {
                "reviewerID": f"A{user:013d}",
                "asin": f"B{item:09d}",
                "reviewText": " ".join(WORDS),
                "overall": 5.0,
            }
            stream.write(json.dumps(review) + "\n")
    _write_images(folder / "images", [downloaded_path(_address(number)) for number in range(N_IMAGES)])


def write_pinterest(folder: Path, n_pins: int, n_users: int, n_repins: int, seed: int = 0) -> None:
    """The three Pinterest tables; every pin has at least one repin."""
    rng = np.random.default_rng(seed)
    pins = np.concatenate([np.arange(n_pins), rng.integers(0, n_pins, n_repins - n_pins)])
    users = np.concatenate([np.arange(n_users), rng.integers(0, n_users, n_repins - n_users)])
    table = pd.DataFrame({"p": pins, "u": rng.permutation(users), "c": rng.integers(0, 32, n_repins), "b": 1})
    table.to_csv(folder / "ImageDatasetRepinactivity.gz", sep="|", header=False, index=False, compression="gzip")
    urls = pd.DataFrame({"p": np.arange(n_pins), "u": [_address(number) for number in range(n_pins)]})
    urls.to_csv(folder / "ImageDatasetImagesURLs.gz", sep="|", header=False, index=False, compression="gzip")
    (folder / "ImageCategoryID.txt").write_text("".join(f"category{i}|{i}\n" for i in range(32)))
    _write_images(folder / "images", [downloaded_path(_address(number)) for number in range(N_IMAGES)])


def _address(number: int) -> str:
    return f"http://images.example/I/{number}.jpg"


def _write_images(folder: Path, names: list[str]) -> None:
    for place, name in enumerate(names[:N_IMAGES]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (48, 32 + place % 9), (5 * place, 90, 160)).save(folder / name)
