import gzip
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from src.data.sources.raw import downloaded_path
from src.errors import DataError
from tests.data.raw_formats import read_source, write_pinterest
from tests.data.raw_samples import CATEGORIES, P1_URL, P3_URL, REPINS, URLS


@pytest.fixture
def cfg(tmp_path):
    return write_pinterest(tmp_path, REPINS, URLS, CATEGORIES)


def test_tables_by_hand(cfg):
    raw = read_source(cfg)
    assert raw.items.drop(columns="values").to_numpy().tolist() == [
        ["p1", [downloaded_path(P1_URL)], ["animals"], None],
        ["p2", [], ["animals"], None],  # a tie; animals come before cars
        ["p3", [downloaded_path(P3_URL)], ["cars"], None],  # the only repin with a known category
        ["p4", [downloaded_path(P1_URL)], None, None],
        ["p6", [], ["design"], None],
    ]
    assert raw.interactions.values.tolist() == [
        ["u1", "p1"],
        ["u1", "p1"],
        ["u2", "p1"],
        ["u1", "p2"],
        ["u2", "p2"],
        ["u1", "p3"],
        ["u2", "p3"],
        ["u3", "p3"],
        ["u4", "p3"],
        ["u1", "p4"],
        ["u2", "p4"],
        ["u3", "p6"],
        ["u4", "p6"],
    ]
    assert raw.dropped == {
        "repins_that_cannot_be_read": 2,
        "repins_of_pins_with_too_few": 1,  # p5
        "addresses_that_cannot_be_read": 1,
        "addresses_repeated": 1,
    }
    assert raw.image_urls == {downloaded_path(url): url for url in (P1_URL, P3_URL)}
    assert raw.notes == {
        "average_agreement": pytest.approx((2 / 3 + 1 / 2 + 1 / 4 + 0 + 1) / 5),
        "pins_with_agreement_below_half": 2,  # p3, p4
        "pins_whose_majority_is_a_tie": 1,
        "pins_without_known_category": 1,
        "pins_below_min_agreement": 0,
    }


@pytest.mark.parametrize(
    ("least", "labels", "unsure"),
    [
        (0.25, [["animals"], ["animals"], ["cars"], None, ["design"]], 0),
        (0.5, [["animals"], ["animals"], None, None, ["design"]], 1),
        (0.51, [["animals"], None, None, None, ["design"]], 2),
        (1.0, [None, None, None, None, ["design"]], 3),
    ],
)
def test_least_agreement(least, labels, unsure, cfg):
    raw = read_source(replace(cfg, min_agreement=least))
    assert raw.items["labels"].tolist() == labels
    assert raw.notes["pins_below_min_agreement"] == unsure


@pytest.mark.parametrize(
    ("least", "pins", "repins"),
    [(1, ["p1", "p2", "p3", "p4", "p5", "p6"], 0), (3, ["p1", "p3"], 7), (4, ["p3"], 10)],
)
def test_least_repins(least, pins, repins, cfg):
    raw = read_source(replace(cfg, min_repins=least))
    assert raw.items["item_id"].tolist() == pins
    assert raw.dropped["repins_of_pins_with_too_few"] == repins
    assert set(raw.interactions["item_id"]) == set(pins)


def test_no_pin_has_enough_repins(cfg):
    with pytest.raises(DataError, match=r"should hold pins with at least 5 repins, but holds none; set .*min_repins"):
        read_source(replace(cfg, min_repins=5))


@pytest.mark.parametrize("name", ["ImageDatasetRepinactivity.gz", "ImageDatasetImagesURLs.gz"])
def test_damaged_and_missing_tables(name, cfg):
    path = Path(cfg.raw_dir, name)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataError, match=rf"{name} should be a whole text table, .*Truncated"):
        read_source(cfg)
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(DataError, match="it is empty"):
        read_source(cfg)
    path.unlink()
    with pytest.raises(DataError, match=rf"{name} does not exist\. .* Ask for it\."):
        read_source(replace(cfg, obtain="Ask for it."))


def test_no_categories(cfg):
    Path(cfg.raw_dir, cfg.categories_file).write_text("|3\n|4\n")
    with pytest.raises(DataError, match=r"ImageCategoryID\.txt should hold one category a line as name\|label_id"):
        read_source(cfg)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from("pqr"), st.sampled_from("01239")), min_size=1, max_size=25))
def test_votes_against_counting(tmp_path, repins):
    names = {"0": "a", "1": "b", "2": "c", "3": "a"}  # two ids of one name; 9 is unknown
    lines = "".join(f"{pin}|u{place}|{category}|b\n" for place, (pin, category) in enumerate(repins))
    cfg = write_pinterest(tmp_path, lines, "x|http://y\n", "".join(f"{name}|{key}\n" for key, name in names.items()))
    raw = read_source(replace(cfg, min_repins=1))
    agreements, ties = [], 0
    for pin, labels in zip(raw.items["item_id"], raw.items["labels"], strict=True):
        own = [names.get(category) for other, category in repins if other == pin]
        n = {name: own.count(name) for name in own if name is not None}
        most = max(n.values(), default=0)
        winners = sorted(name for name in n if n[name] == most)
        assert labels == (winners[:1] or None)
        agreements.append(most / len(own))
        ties += len(winners) > 1
    assert raw.items["item_id"].tolist() == sorted({pin for pin, _ in repins})
    assert raw.notes["average_agreement"] == pytest.approx(sum(agreements) / len(agreements))
    assert raw.notes["pins_whose_majority_is_a_tie"] == ties
