import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from src.data.preparation.catalog import merge_rare_labels
from src.data.sources import amazon
from src.data.sources.amazon import may_concern, parse_product, path_labels
from src.data.sources.raw import downloaded_path
from src.errors import DataError
from tests.data.raw_formats import read_source, write_amazon
from tests.data.raw_samples import BABY_URL, CHESS_URL, DEAD_URL, DOLLS_URL, PRODUCTS, REVIEWS, ROOT, TUTU, TUTU_URL


@pytest.fixture
def cfg(tmp_path):
    return write_amazon(tmp_path, REVIEWS, PRODUCTS)


def rows(items):
    items = items.assign(image_paths=items["image_paths"].str[0])
    return [tuple(None if value != value else value for value in row) for row in items.itertuples(index=False)]


def test_tables_by_hand(cfg):
    raw = read_source(cfg)
    assert rows(raw.items.drop(columns="values")) == [
        ("0000013714", None, None, None),  # no metadata
        ("0000031852", downloaded_path(TUTU_URL), None, None),
        ("BARE", None, None, None),
        ("CUT", None, None, None),
        ("DOLL1", downloaded_path(DOLLS_URL), ["Dolls & Accessories", "Dolls & Accessories + Dolls"], None),
        ("DOLL2", downloaded_path(DOLLS_URL), ["Dolls & Accessories"], None),
        ("DOLL3", downloaded_path(BABY_URL), ["Dolls & Accessories", "Dolls & Accessories + Dolls"], None),
        ("GAME1", downloaded_path(CHESS_URL), ["Games", "Games + Board Games", "Puzzles"], None),
        ("GAME2", None, ["Games", "Games + Card Games"], None),
        ("TOP", downloaded_path(DEAD_URL), [], None),
    ]
    assert sorted(raw.interactions[["user_id", "item_id"]].values.tolist()) == [
        ["", "DOLL1"],
        ["A2SUAM1J3GNN3B", "0000013714"],
        ["u1", "0000031852"],
        ["u1", "CUT"],
        ["u1", "DOLL1"],
        ["u2", "DOLL1"],
        ["u2", "DOLL1"],
        ["u2", "DOLL2"],
        ["u2", "DOLL3"],
        ["u3", "BARE"],
        ["u3", "GAME1"],
        ["u3", "GAME2"],
        ["u3", "TOP"],
    ]
    assert raw.dropped == {
        "metadata_of_products_without_reviews": 2,
        "metadata_that_cannot_be_read": 2,  # the cut line and the page
        "metadata_repeated": 1,
        "reviews_that_cannot_be_read": 5,
        "images_that_are_placeholders": 1,
        "items_without_metadata": 2,  # 0000013714 and CUT
    }
    urls = (TUTU_URL, DOLLS_URL, BABY_URL, CHESS_URL, DEAD_URL)
    assert raw.image_urls == {downloaded_path(url): url for url in urls}


def test_the_leaf_stays_if_wanted(cfg):
    labels = dict(
        zip(read_source(cfg).items["item_id"], read_source(replace(cfg, drop_leaf=False)).items["labels"], strict=True)
    )
    assert labels["DOLL1"] == [
        "Dolls & Accessories",
        "Dolls & Accessories + Dolls",
        "Dolls & Accessories + Dolls + Fashion Dolls",
    ]
    assert labels["GAME1"] == [
        "Games",
        "Games + Board Games",
        "Games + Board Games + Chess",
        "Puzzles",
        "Puzzles + Jigsaw",
    ]
    assert labels["TOP"] == []


def test_another_root_gives_other_labels(cfg):
    labels = read_source(replace(cfg, root="Sports & Outdoors")).items["labels"]
    assert labels.tolist() == [None, ["Other Sports"], *[None] * 8]


def test_rare_labels_become_their_parents(cfg):
    items = read_source(replace(cfg, drop_leaf=False)).items
    merged, parents = merge_rare_labels(items, 2, cfg.label_levels)
    assert parents == {
        "Dolls & Accessories + Dolls + Baby Dolls": "Dolls & Accessories + Dolls",
        "Dolls & Accessories + Dolls + Fashion Dolls": "Dolls & Accessories + Dolls",
        "Dolls & Accessories + Playsets": "Dolls & Accessories",
        "Games + Board Games": "Games",
        "Games + Board Games + Chess": "Games + Board Games",
        "Games + Card Games": "Games",  # GAME2 has no image, so its labels have none at all
        "Games + Card Games + Poker": "Games + Card Games",
        "Puzzles + Jigsaw": "Puzzles",
    }
    assert merged["labels"].tolist()[4:] == [
        ["Dolls & Accessories", "Dolls & Accessories + Dolls"],  # two images: not rare
        ["Dolls & Accessories"],
        ["Dolls & Accessories", "Dolls & Accessories + Dolls"],
        ["Games", "Puzzles"],
        ["Games"],
        [],
    ]
    _, parents = merge_rare_labels(items, 3, cfg.label_levels)
    assert parents["Dolls & Accessories + Dolls"] == "Dolls & Accessories"
    assert merge_rare_labels(items, 3, None)[1] == {}


@pytest.mark.parametrize(
    ("path", "drop_leaf", "labels"),
    [
        ([ROOT, "A", "B", "C"], True, ["A", "A + B"]),
        ([ROOT, "A", "B", "C"], False, ["A", "A + B", "A + B + C"]),
        ([ROOT, "A"], True, []),
        ([ROOT], True, []),
        ([ROOT], False, []),
    ],
)
def test_labels_of_a_path(path, drop_leaf, labels):
    assert list(path_labels(path, drop_leaf)) == labels


@pytest.mark.parametrize(
    ("line", "concerns"),
    [
        ("{'asin': 'GOOD'}", True),
        ('{"asin": "GOOD"}', True),
        ("{'asin' : ' GOOD '}", True),
        ("{'asin': 'BAD'}", False),
        ("{'a': \"'asin': 'BAD'\", 'asin': 'GOOD'}", True),
        ("{'a': \"'asin': '\", 'asin': 'GOOD'}", True),  # a quote of the text is none of the literal
        ("{'a': '\\'asin\\': \\'GOOD\\'', 'asin': 'BAD'}", False),
        ("{'asin': 'GO' 'OD'}", True),  # in doubt: adjacent strings are one
        ("{'asin': 'G\\x4fOD'}", True),
        ("{'asin': u'BAD'}", True),
        ("{'as' 'in': 'GOOD'}", True),
        ("{'asin': 5}", True),
        ("<html>", True),
    ],
)
def test_only_lines_of_wanted_products_are_parsed(line, concerns):
    assert may_concern(line.encode(), {b"GOOD"}) == concerns


@pytest.mark.parametrize("asin", ["plain", "it's", 'say "so"', "back\\slash", "é", "a b"])
def test_no_wanted_product_is_overlooked(asin):
    for line in (repr({"title": "'asin'", "asin": asin}), repr({"asin": asin, "title": '"asin": "x"'})):
        assert may_concern(line.encode(), {asin.encode()})
        assert parse_product(line.encode(), ROOT, drop_leaf=True).asin == asin


@pytest.mark.parametrize("line", ["5", "'asin'", "b'asin'", "['asin']", "{'asin'}", "{'asin': ['B1']}", "{'x': 1}", ""])
def test_what_is_no_product(line):
    assert parse_product(line.encode(), ROOT, drop_leaf=True) is None


@pytest.mark.parametrize(
    ("categories", "labels"),
    [
        ("x", None),
        ([ROOT, "A", "B"], None),  # not a list of paths
        ([[ROOT, "A", 5]], None),
        ([[], ["X"]], None),
        ([[ROOT, "A", "B"], [ROOT, "A", "C"]], []),  # parts of one character are no level
        ([[ROOT, " Aa ", "Bb"], ["Baby", "Cc", "Dd"]], ["Aa"]),
        ([[ROOT, "A&amp;B\u00a0C\ud800", "Leaf"]], ["A&B C"]),  # entity; a blank; half a character, which none can save
    ],
)
def test_categories(categories, labels):
    line = repr({"asin": "B1", "categories": categories})
    assert parse_product(line.encode(), ROOT, drop_leaf=True).labels == labels


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        (" http://a/b.jpg ", "http://a/b.jpg"),
        ("http://a/b?c=1&amp;d", "http://a/b?c=1&d"),
        ("ftp://a/b.jpg", None),
        ("/b.jpg", None),
        ("", None),
        (5, None),
        (None, None),
    ],
)
def test_addresses(url, kept):
    assert parse_product(repr({"asin": "B1", "imUrl": url}).encode(), ROOT, drop_leaf=True).image_url == kept


def test_the_published_sample():
    product = parse_product(repr(TUTU).encode(), "Sports & Outdoors", drop_leaf=True)
    assert product == ("0000031852", "http://ecx.images-amazon.com/images/I/51fAmVkTbyL._SY300_.jpg", ["Other Sports"])


def test_overlong_lines_are_unreadable(tmp_path, monkeypatch):
    monkeypatch.setattr(amazon, "MAX_LINE_BYTES", 200)
    long = repr({"asin": "B1", "description": "x" * 300})
    good = repr({"asin": "B2", "imUrl": "http://a/b.jpg"})
    reviews = ('{"reviewerID": "u", "asin": "B1"}', '{"reviewerID": "u", "asin": "B2"}')
    raw = read_source(write_amazon(tmp_path, reviews, [long, good]))
    assert raw.items["image_paths"].tolist()[1] == [downloaded_path("http://a/b.jpg")]
    assert raw.dropped["metadata_that_cannot_be_read"] == 1
    assert raw.dropped["items_without_metadata"] == 1


def test_missing_files_say_where_to_get_them(cfg):
    cfg.obtain = "Ask McAuley."
    Path(cfg.raw_dir, cfg.metadata_file).unlink()
    with pytest.raises(DataError, match=r"meta_Toys_and_Games\.json\.gz does not exist\. .* Ask McAuley\."):
        read_source(cfg)


@pytest.mark.parametrize("name", ["reviews_file", "metadata_file"])
@pytest.mark.parametrize(
    "damage", [lambda content: content[:-20], lambda content: b"plain text", lambda content: content + b"junk"]
)
def test_damaged_gzip(cfg, name, damage):
    path = Path(cfg.raw_dir, getattr(cfg, name))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=rf"{path.name} should be a whole gzip file, but is damaged .*get it again"):
        read_source(cfg)


def test_no_reviews(cfg):
    Path(cfg.raw_dir, cfg.reviews_file).write_bytes(gzip.compress(b"{}\n[]\n"))
    with pytest.raises(DataError, match=r"should hold one review a line as JSON .* none of 2 line\(s\) does"):
        read_source(cfg)
