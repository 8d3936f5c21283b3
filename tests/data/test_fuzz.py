"""Random damage: every source reads it or says what is wrong, and what it reads keeps to its promises."""

import gzip
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from src.config.datasets import TabularConfig
from src.data.images.decode import RefusedImageError
from src.data.images.store import load_image
from src.data.preparation.catalog import clean_items, filter_labels, merge_rare_labels
from src.data.sources import get_source
from src.data.sources.raw import downloaded_path
from src.errors import UserError
from tests.data.raw_formats import clean, read_source, write_amazon, write_movielens, write_pinterest, write_tabular
from tests.data.raw_samples import (
    CATEGORIES,
    MOVIES_1M,
    MOVIES_10M,
    MOVIES_CSV,
    PRODUCTS,
    RATINGS_1M,
    RATINGS_10M,
    RATINGS_CSV,
    REPINS,
    REVIEWS,
    URLS,
)

CHANGES = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.integers(0, 30),
        st.binary(max_size=4)
        | st.sampled_from(
            [b"\n", b"\r", b"\0", b"|", b"::", b",", b'"', b"'", b"\\", b"\\x", b"\\ud800", b"\xff", b"\x85"]
        )
        | st.sampled_from(
            [b"{", b"]", b"NaN", b"-", b"1e400", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b" ", b"\\u0000", b"&#0;"]
        ),
    ),
    min_size=1,
    max_size=6,
)
FUZZ = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def damaged(content, changes):
    """Content with some bytes cut out and others put in."""
    for place, cut, new in changes:
        start = round(place * len(content))
        content = content[:start] + new + content[start + cut :]
    return content


def check_contract(cfg):
    """Read and clean as prepare does; anything but success or an error of ours is a defect."""
    try:
        raw = read_source(cfg)
        items, _ = clean_items(raw.items, cfg)
        pairs, _ = clean(raw)
    except UserError:
        return False
    assert items["item_id"].is_unique
    for item, paths, labels, *_ in raw.items.itertuples(index=False):
        assert isinstance(item, str)
        assert all(isinstance(path, str) for path in paths)
        assert labels is None or (labels == sorted(set(labels)) and "" not in labels)
        "".join([item, *(labels or ())]).encode()  # half a character could not be saved
    named = {tuple(pair) for pair in raw.interactions[["user_id", "item_id"]].itertuples(index=False)}
    assert pairs == sorted(map(list, {pair for pair in named if pair[0] and pair[1] in set(items["item_id"])}))
    assert all(
        url.startswith(("http://", "https://")) and downloaded_path(url) == k for k, url in raw.image_urls.items()
    )
    assert all(isinstance(count, int) and count >= 0 for count in raw.dropped.values())
    items, _ = merge_rare_labels(items.assign(image_paths=[["x"]] * len(items)), 2, cfg.label_levels)
    try:
        filter_labels(items, 1)
    except UserError:
        return False
    return True


@FUZZ
@given(st.sampled_from(["reviews", "products"]), CHANGES)
def test_damaged_amazon(tmp_path, which, changes):
    cfg = write_amazon(tmp_path, REVIEWS, PRODUCTS)
    path = tmp_path / (cfg.reviews_file if which == "reviews" else cfg.metadata_file)
    path.write_bytes(gzip.compress(damaged(gzip.decompress(path.read_bytes()), changes), 1))
    assert check_contract(cfg)  # a few lines may be lost, but never all


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@FUZZ
@given(st.sampled_from(["1M", "10M", "csv"]), st.sampled_from(["movies", "ratings"]), CHANGES)
def test_damaged_movielens(tmp_path, release, which, changes):
    movies, ratings, encoding = {
        "1M": (MOVIES_1M, RATINGS_1M, "latin-1"),
        "10M": (MOVIES_10M, RATINGS_10M, "utf-8"),
        "csv": (MOVIES_CSV, RATINGS_CSV, "utf-8"),
    }[release]
    ending = "csv" if release == "csv" else "dat"
    cfg = write_movielens(tmp_path / ending, movies, ratings, ending, encoding)
    cfg.min_rating = 1.0
    path = tmp_path / ending / f"{which}.{ending}"
    path.write_bytes(damaged(path.read_bytes(), changes))
    check_contract(cfg)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@FUZZ
@given(st.sampled_from(["Repinactivity.gz", "ImagesURLs.gz"]), CHANGES)
def test_damaged_pinterest(tmp_path, which, changes):
    cfg = write_pinterest(tmp_path, REPINS, URLS, CATEGORIES)
    path = tmp_path / f"ImageDataset{which}"
    path.write_bytes(gzip.compress(damaged(gzip.decompress(path.read_bytes()), changes), 1))
    check_contract(cfg)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@FUZZ
@given(st.sampled_from(["items.csv", "interactions.csv", "items.parquet", "interactions.parquet"]), CHANGES)
def test_damaged_tables(tmp_path, which, changes):
    rng = np.random.default_rng(0)
    cfg = write_tabular(
        tmp_path, [(f"i{n}", f"{n}.png") for n in range(9)], [(f"u{n}", f"i{n % 9}") for n in range(30)]
    )
    path = tmp_path / which
    if path.suffix == ".parquet":
        table = pd.read_csv(path.with_suffix(".csv"), dtype=str).assign(
            rating=rng.random(9 if "items" in which else 30)
        )
        table.to_parquet(path)
        setattr(cfg, f"{path.stem}_file", which)
    path.write_bytes(damaged(path.read_bytes(), changes))
    check_contract(cfg)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pyarrow prints such a row
@FUZZ
@given(st.sampled_from(["amazon", "dat", "csv", "pinterest", "tabular"]), st.binary(max_size=200), st.booleans())
def test_random_bytes(tmp_path, which, content, compressed):
    folder = tmp_path / which
    cfg = {
        "amazon": lambda: write_amazon(folder, REVIEWS, PRODUCTS),
        "dat": lambda: write_movielens(folder, MOVIES_1M, RATINGS_1M, "dat", "latin-1"),
        "csv": lambda: write_movielens(folder, MOVIES_CSV, RATINGS_CSV, "csv"),
        "pinterest": lambda: write_pinterest(folder, REPINS, URLS, CATEGORIES),
        "tabular": lambda: write_tabular(folder, [("i1", "a.png")], [("u", "i1")]),
    }[which]()
    for path in get_source(cfg.source).raw_files(cfg):
        whole = path.read_bytes()
        path.write_bytes(gzip.compress(content) if compressed else content)
        check_contract(cfg)
        path.write_bytes(whole)
    assert check_contract(cfg)


@FUZZ
@given(CHANGES)
def test_damaged_images(tmp_path, changes):
    cfg = TabularConfig(name="x", raw_dir=str(tmp_path), images_dir=str(tmp_path), store_size=16)
    for ending in ("png", "jpg", "gif", "webp"):
        path = tmp_path / f"image.{ending}"
        Image.linear_gradient("L").resize((24, 20)).convert("RGB").save(path)
        path.write_bytes(damaged(path.read_bytes(), changes))
        with suppress(RefusedImageError):
            assert min(load_image(path, cfg).pixels.shape[:2]) == 16
