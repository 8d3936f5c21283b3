"""Small datasets in the raw formats of their authors, with the quirks that the real files have."""

import gzip
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from src.config import AmazonConfig, MovieLensConfig, PinterestConfig
from src.data.sources.raw import downloaded_path

# The samples that the authors publish with the Amazon data.
REVIEW = {
    "reviewerID": "A2SUAM1J3GNN3B",
    "asin": "0000013714",
    "reviewerName": "J. McDonald",
    "helpful": [2, 3],
    "reviewText": "I bought this for my husband who plays the piano.  He is having a wonderful time playing these old "
    "hymns.  The music  is at times hard to read because we think the book was published for singing from more than "
    "playing from.  Great purchase though!",
    "overall": 5.0,
    "summary": "Heavenly Highway Hymns",
    "unixReviewTime": 1252800000,
    "reviewTime": "09 13, 2009",
}
TUTU = {
    "asin": "0000031852",
    "title": "Girls Ballet Tutu Zebra Hot Pink",
    "price": 3.17,
    "imUrl": "http://ecx.images-amazon.com/images/I/51fAmVkTbyL._SY300_.jpg",
    "related": {"also_bought": ["B00JHONN1S", "B002BZX8Z6"], "bought_together": ["B002BZX8Z6"]},
    "salesRank": {"Toys & Games": 211836},
    "brand": "Coxlures",
    "categories": [["Sports & Outdoors", "Other Sports", "Dance"]],
}
ROOT = "Toys & Games"
TUTU_URL, DOLLS_URL, BABY_URL, CHESS_URL, DEAD_URL = (
    TUTU["imUrl"],
    "http://ecx.images-amazon.com/images/I/dolls.jpg",
    "http://ecx.images-amazon.com/images/I/baby.PNG",
    "https://ecx.images-amazon.com/images/I/chess?a=1&b=2",
    "http://ecx.images-amazon.com/images/I/gone.jpg",
)
PLACEHOLDER_URL = "http://g-ecx.images-amazon.com/images/G/01/x-site/icons/no-img-sm._CB192198896_.gif"
PRODUCTS = [
    repr(TUTU),  # of another root
    repr(
        {
            "asin": "DOLL1",
            "title": "Barbie's \"Best\" Friend\n",  # both kinds of quotes, and an escape
            "imUrl": DOLLS_URL,
            "categories": [[ROOT, "Dolls & Accessories", "Dolls", "Fashion Dolls"]],
        }
    ),
    json.dumps(  # JSON, entities, and the image of DOLL1
        {
            "asin": "DOLL2",
            "imUrl": DOLLS_URL,
            "price": None,
            "categories": [["Toys &amp; Games", "Dolls &amp; Accessories", "Playsets"]],
        }
    ),
    repr({"asin": "DOLL3", "imUrl": BABY_URL, "categories": [[ROOT, "Dolls & Accessories", "Dolls", "Baby Dolls"]]}),
    repr(  # several roots, a part of one character, entities in the address
        {
            "asin": "GAME1",
            "imUrl": CHESS_URL.replace("&", "&amp;"),
            "categories": [
                [ROOT, "Games", "Board Games", "Chess"],
                ["Baby Products", "Toys"],
                [ROOT, "X", "Puzzles", "Jigsaw"],
            ],
        }
    ),
    repr(  # the asin comes last, and another one in the text; the image says that there is none
        {
            "description": "Its 'asin': 'UNKNOWN', says \"he\"",
            "imUrl": PLACEHOLDER_URL,
            "categories": [[ROOT, "Games", "Card Games", "Poker"]],
            "asin": "GAME2",
        }
    ),
    "{'asin': 'BARE'}",
    repr({"asin": "TOP", "imUrl": DEAD_URL, "categories": [[ROOT]]}),  # the root alone, which is no label
    repr({"asin": "DOLL1", "categories": [[ROOT, "Wrong", "Leaf"]]}),  # a second time
    repr({"asin": "NOBODYS1", "description": "better than 'asin': 'GAME1', by far"}),  # not reviewed
    repr({"asin": "NOBODYS2", "categories": [[ROOT, "Unseen", "Leaf"]]}),
    "{'asin': 'CUT', 'categories': [['Toys",  # damaged, of a reviewed product
    "<html>",
    "",
]
REVIEWS = [
    json.dumps(REVIEW),  # of a product without metadata
    *(
        json.dumps({"reviewerID": user, "asin": asin, "overall": 4.0})
        for user, asin in [
            ("u1", "0000031852"),
            ("u1", "DOLL1"),
            ("u2", "DOLL1"),
            ("u2", "DOLL1"),  # twice
            ("u2", "DOLL2"),
            ("u2", "DOLL3"),
            ("u3", "GAME1"),
            ("u3", "GAME2"),
            ("u3", " BARE "),
            ("u3", "TOP"),
            ("u1", "CUT"),
            ("", "DOLL1"),
        ]
    ),
    '{"reviewerID": "u9", "asin": "DOLL1", "over',
    '{"asin": "DOLL1"}',
    '{"reviewerID": "u9", "asin": 5}',
    '{"reviewerID": "u9\\ud800", "asin": "DOLL1"}',  # half a character
    '["u9", "DOLL1"]',
    "  ",
]

MOVIES_1M = (
    "1::Toy Story (1995)::Animation|Children's|Comedy\n"
    "73::Misérables, Les (1995)::Drama|Musical\n"
    "1193::One Flew Over the Cuckoo's Nest (1975)::Drama\n"
    "7::Wait\x85 What: A Title (1990)::Comedy\n"  # a byte that some readers take for the end of a line
)
RATINGS_1M = "1::1193::5::978300760\n1::73::3::978302109\n2::1193::4::978298413\n"
MOVIES_10M = (
    "122::Boomerang (1992)::Comedy|Romance\r\n"
    "185::Net, The (1995)::Action|Crime|Thriller\r\n"
    "8606::Pull My Daisy (1958)::(no genres listed)\r\n"
    "5::Frantic: Rome::Paris («Été») (1999)::Drama|IMAX\r\n"  # holds what parts the cells
    "6::No genres (2000)::\r\n"
    "damaged::line\r\n"
    "\r\n"
)
RATINGS_10M = (
    "1::122::5::838985046\r\n"
    "1::185::4.5::838983525\r\n"
    "2::185::0.5::838983526\r\n"
    "2::5::3.5::838983527\r\n"
    "2::404::4::838983528\r\n"  # no such film
    "2::5\r\n"
)
MOVIES_CSV = (
    "movieId,title,genres\r\n"
    "1,Toy Story (1995),Adventure|Animation|Children\r\n"
    '11,"American President, The (1995)",Comedy|Drama|Romance\r\n'
    '12,"Say ""Anything"", Dad (1989)",Comedy\r\n'
    "33794,Batman Begins (2005),Action|Crime|IMAX\r\n"
    "8606,Pull My Daisy (1958),(no genres listed)\r\n"
    "77,Nobody rated it (2001),Drama\r\n"
    "78,Short line (2001)\r\n"
)
RATINGS_CSV = (
    "userId,movieId,rating,timestamp\r\n"
    "1,1,4.0,964982703\r\n"
    "1,11,3.5,964982704\r\n"
    "1,12,2.0,964982705\r\n"
    "2,33794,4.0,964982706\r\n"
    "2,8606,,964982707\r\n"  # no rating
    "2,404,5.0,964982708\r\n"  # no such film
    "2,78\r\n"
    "3,1,4.5,1,2\r\n"
)

CATEGORIES = "animals|3\ncars|10\ndesign|7\n|8\n"
REPINS = (
    "p1|u1|3|b1\n"
    "p1|u1|3|b2\n"  # the same user again
    "p1|u2|10|b3\n"
    "p2|u1|10|b1\n"  # a tie
    "p2|u2|3|b3\n"
    "p3|u1|99|b1\n"  # mostly a category without name
    "p3|u2|99|b3\n"
    "p3|u3|8|b4\n"
    "p3|u4|10|b5\n"
    "p4|u1|99|b1\n"  # only such ones
    "p4|u2|99|b3\n"
    "p5|u1|7|b1\n"  # one repin
    "p6|u3|7|b4\n"
    "p6|u4|7|b5\n"
    "p1|u2|10\n"  # damaged
    "p1|u2|10|b|b\n"
)
P1_URL, P3_URL = "http://media-cache-ec0.pinimg.com/736x/a.jpg", "https://media-cache-ec0.pinimg.com/b"
URLS = (
    f"p1|{P1_URL}\n"
    "p1|http://media-cache-ec0.pinimg.com/736x/other.jpg\n"  # a second address
    f"p3|{P3_URL}\n"
    f"p4|{P1_URL}\n"  # the image of p1
    "p5|http://media-cache-ec0.pinimg.com/736x/e.jpg\n"
    "p6|none\n"
    "p2\n"  # damaged
    "p99|http://media-cache-ec0.pinimg.com/736x/z.jpg\n"
)


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


def write_image(folder: str, path: str, grey: int, **options: Any) -> None:
    """A picture that differs from others of another ``grey`` in its bytes alone: as PNG, unless ``format`` says else."""
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
