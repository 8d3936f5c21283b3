import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.data.preparation.catalog import assign_groups, filter_labels, part_of
from src.data.preparation.interactions import Cleaned
from src.data.preparation.report import describe_dataset, gini_index
from src.errors import DataError


def table(*rows):
    items = pd.DataFrame(rows, columns=["item_id", "image_paths", "labels", "image_group"], dtype=object)
    items["image_paths"] = [[path] if path else [] for path in items["image_paths"]]
    return items


def test_rare_labels_are_dropped_and_leave_items_known_to_have_none():
    items = table(
        ["1", "a", ["cat", "rare"], None],
        ["2", "b", ["cat"], None],
        ["3", "c", ["rare"], None],
        ["4", None, ["rare", "unseen"], None],  # no image: counts for no label
        ["5", "e", None, None],
        ["6", "f", ["rare", "dog"], None],
        ["7", "g", ["dog", "rare"], None],
        ["8", "h", ["dog"], None],
    )
    kept, names, dropped = filter_labels(items, min_items_per_label=4)
    assert names == ["rare"]
    assert kept["labels"].tolist() == [["rare"], [], ["rare"], ["rare"], None, ["rare"], ["rare"], []]
    assert dropped == {"cat": 2, "dog": 3, "unseen": 0}


def test_label_without_any_image_is_always_dropped():
    items = table(["1", "a", ["cat"], None], ["2", None, ["dog"], None])
    assert filter_labels(items, 1)[1:] == (["cat"], {"dog": 0})


def test_no_label_left():
    with pytest.raises(DataError, match=r"should have 3 item\(s\) with image, but none of 1 has"):
        filter_labels(table(["1", "a", ["cat"], None]), 3)


def test_groups_join_by_column_path_and_content():
    items = table(
        ["1", "a.jpg", None, "g1"],
        ["2", "b.jpg", None, "g2"],  # same content as a.jpg
        ["3", "c.jpg", None, "g2"],  # same group as 2
        ["4", "d.jpg", None, None],
        ["5", "d.jpg", None, None],  # same path as 4
        ["6", None, None, None],
        ["7", "e.jpg", None, "g3"],
    )
    digests = {"a.jpg": "aa", "b.jpg": "aa", "c.jpg": "cc", "d.jpg": "dd", "e.jpg": "ee"}
    grouped = assign_groups(items, digests)
    assert grouped["image_group"].tolist() == ["g1", "g1", "g1", "image-dd", "image-dd", "item-6", "g3"]
    assert grouped["part"].dtype == "int8"
    assert grouped.groupby("image_group")["part"].nunique().max() == 1


def test_group_names_do_not_depend_on_other_items():
    both = assign_groups(table(["1", "a", None, None], ["2", "b", None, None]), {"a": "aa", "b": "bb"})
    alone = assign_groups(table(["2", "b", None, None]), {"b": "bb"})
    assert both["image_group"][1] == alone["image_group"][0]


@given(st.lists(st.tuples(st.integers(0, 5) | st.none(), st.integers(0, 8)), min_size=1, max_size=30))
def test_groups_never_straddle_parts(rows):
    items = table(
        *([str(i), f"{path}.jpg", None, None if group is None else str(group)] for i, (group, path) in enumerate(rows))
    )
    digests = {f"{path}.jpg": f"digest{path // 2}" for _, path in rows}  # paths 0 and 1 hold the same image, and so on
    grouped = assign_groups(items, digests)
    assert grouped.groupby(items["image_paths"].str[0].map(digests))["part"].nunique().max() == 1
    given_groups = grouped[items["image_group"].notna()]
    if len(given_groups):
        assert given_groups.groupby(items["image_group"].dropna())["image_group"].nunique().max() == 1


def test_part_is_a_stable_hash():
    expected = int(hashlib.blake2b(b"g1", digest_size=8).hexdigest(), 16) % 20
    assert part_of("g1") == expected
    assert [part_of(str(group)) for group in range(6)] == [part_of(str(group)) for group in range(6)]
    counts = pd.Series([part_of(str(group)) for group in range(4000)]).value_counts()
    assert len(counts) == 20
    assert counts.between(140, 260).all()  # 200 each expected


def test_gini_by_hand():
    assert gini_index([5, 5, 5]) == 0
    # sorted 1, 2, 5: (-2 * 1 + 0 * 2 + 2 * 5) / (3 * 8)
    assert gini_index([5, 1, 2]) == pytest.approx(8 / 24)
    assert gini_index([]) == 0


def test_statistics_by_hand():
    items = table(
        ["1", "a", ["cat", "dog"], "g"], ["2", "b", ["cat"], "g"], ["3", "c", None, "h"], ["4", None, ["dog"], "i"]
    )
    pairs = Cleaned(np.array([2, 0, 0, 1]), n_users=2, n_read=5, dropped={})
    assert describe_dataset(items, pairs, ["cat", "dog"]) == {
        "images": 3,
        "items": 4,
        "image_groups": 2,
        "interactions": 3,
        "users": 2,
        "sparsity": 3 / (2 * 4),
        "labels": 2,
        "labelled_items": 2,
        "average_positive_labels": 1.5,
        "gini_index": pytest.approx((-1 * 1 + 1 * 2) / (2 * 3)),
        "images_with_interactions": 1,
    }
