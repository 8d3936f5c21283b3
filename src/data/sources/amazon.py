"""Amazon review data of 2014 (McAuley et al., 2015): reviews as interactions, category paths as labels.

Of the metadata, about 1.5 million lines a category, only products that were reviewed are parsed.
"""

import gzip
import html
import json
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from src.config.datasets import AmazonConfig
from src.data.sources.literals import MAX_LINE_BYTES, parse_literal
from src.data.sources.raw import RawTables, downloaded_path, item_table, web_address
from src.data.tables.engine import Engine
from src.data.tables.read import require_file
from src.errors import DataError

ASIN = re.compile(rb"""["']asin["']\s*:\s*(?=(?:'([^'\\]*+)'|"([^"\\]*+)")\s*[,}]|)""")
PLACEHOLDER = "no-img-sm"  # in the address of the picture that says there is none
LEVEL = " + "  # between the levels of a label


class Product(NamedTuple):
    """What is used of a metadata line; ``labels`` is None where the categories are absent or of other roots."""

    asin: str
    image_url: str | None
    labels: list[str] | None


UNWANTED = Product("", None, None)


def raw_files(cfg: AmazonConfig) -> list[Path]:
    """The two files; raises ``DataError`` when one is missing."""
    return [require_file(Path(cfg.raw_dir) / name, cfg) for name in (cfg.reviews_file, cfg.metadata_file)]


def read(cfg: AmazonConfig, engine: Engine) -> RawTables:
    """Read reviews, then the metadata of their products; one without stays, without image and with unknown labels.

    Raises ``DataError``: a file is missing or damaged, or holds no review.
    """
    reviews, metadata = raw_files(cfg)
    interactions, damaged_reviews = read_reviews(reviews)
    asins = sorted({asin for _, asin, _ in interactions} - {""})
    products, dropped = read_products(metadata, set(asins), cfg)
    found = [products.get(asin, UNWANTED) for asin in asins]
    urls = [None if url is None or PLACEHOLDER in url else url for _, url, _ in found]
    items = item_table(
        asins,
        image_paths=[[downloaded_path(url)] if url else [] for url in urls],
        labels=[labels for *_, labels in found],
    )
    dropped |= {
        "reviews_that_cannot_be_read": damaged_reviews,
        "images_that_are_placeholders": sum(PLACEHOLDER in (url or "") for _, url, _ in found),
        "items_without_metadata": len(items) - len(products),
    }
    table = pa.table(list(zip(*interactions, strict=True)), names=["user_id", "item_id", "time"])
    return RawTables(items, engine.keep(table, "reviews"), dropped, {downloaded_path(url): url for url in urls if url})


def read_reviews(path: Path) -> tuple[list[tuple[str, str, float | None]], int]:
    """Who reviewed what and when, and how many lines cannot be read; raises ``DataError`` when none can."""
    reviews, damaged = [], 0
    for line in _lines(path):
        try:
            review = json.loads(line)
            user, item = review["reviewerID"].strip(), review["asin"].strip()
            if not (user + item).isprintable():
                raise ValueError
            time = review.get("unixReviewTime")
            reviews.append(
                (sys.intern(user), sys.intern(item), float(time) if isinstance(time, (int, float)) else None)
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            damaged += 1
    if not reviews:
        raise DataError(
            f"{path} should hold one review a line as JSON with reviewerID and asin, but none of {damaged} line(s) "
            "does; get it again."
        )
    return reviews, damaged


def read_products(path: Path, wanted: set[str], cfg: AmazonConfig) -> tuple[dict[str, Product], dict[str, int]]:
    """Parse the metadata of ``wanted`` products; the first of several lines of a product counts."""
    products: dict[str, Product] = {}
    counts = {"metadata_of_products_without_reviews": 0, "metadata_that_cannot_be_read": 0, "metadata_repeated": 0}
    wanted_bytes = {asin.encode() for asin in wanted}
    for line in _lines(path):
        product = parse_product(line, cfg.root, cfg.drop_leaf) if may_concern(line, wanted_bytes) else UNWANTED
        if product is None:
            counts["metadata_that_cannot_be_read"] += 1
        elif product.asin not in wanted:
            counts["metadata_of_products_without_reviews"] += 1
        elif product is not products.setdefault(product.asin, product):
            counts["metadata_repeated"] += 1
    return products, counts


def may_concern(line: bytes, wanted: set[bytes]) -> bool:
    """Whether a metadata line may be of a wanted product; when in doubt (an escape, no asin in sight), yes."""
    asins = [match[1] if match[1] is not None else match[2] for match in ASIN.finditer(line)]
    return not asins or any(asin is None or asin.strip() in wanted for asin in asins)


def parse_product(line: bytes, root: str, drop_leaf: bool) -> Product | None:
    """One metadata line, or None when it cannot be read."""
    try:
        record = parse_literal(line.decode("utf-8", "replace"))
        asin, url = record["asin"].strip(), record.get("imUrl")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    paths = [path for path in _as_paths(record.get("categories")) if path[0] == root]
    labels = sorted({label for path in paths for label in path_labels(path, drop_leaf)}) if paths else None
    return Product(asin, web_address(_plain(url)) if isinstance(url, str) else None, labels)


def path_labels(path: list[str], drop_leaf: bool) -> Iterator[str]:
    """Each prefix of a category path below its root, the last level left out or not.

    Source: original code; paper, section 4.1.1.
    """
    levels = path[1:-1] if drop_leaf else path[1:]
    for depth in range(1, len(levels) + 1):
        yield LEVEL.join(levels[:depth])


def _as_paths(categories: Any) -> list[list[str]]:
    """Category paths with entities resolved; parts of one character, which occur by mistake, are left out."""
    texts = [
        [_plain(part) for part in path]
        for path in (categories if isinstance(categories, list) else ())
        if isinstance(path, list) and all(isinstance(part, str) for part in path)
    ]
    return [path for path in ([part for part in parts if len(part) > 1] for parts in texts) if path]


def _plain(text: str) -> str:
    """Text with entities resolved and blanks for what cannot be printed (half a surrogate pair cannot be saved)."""
    text = html.unescape(text)
    return (text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)).strip()


def _lines(path: Path) -> Iterator[bytes]:
    """Lines of a gzip file; empty ones are left out, and of overlong ones comes the start, which nothing can read."""
    rest = False
    try:
        with gzip.open(path, "rb") as stream:
            while line := stream.readline(MAX_LINE_BYTES):
                if not rest and not line.isspace():
                    yield line
                rest = not line.endswith(b"\n")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} should be a whole gzip file, but is damaged ({error}); get it again.") from error
