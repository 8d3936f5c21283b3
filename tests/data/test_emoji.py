"""The embedded dataset: what lies in the repository, and what preparing it reports."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from src.data.preparation.prepare import prepare_dataset
from src.entry import compose_config

ROOT = Path(__file__).parents[2]
EMOJI = ROOT / "data" / "emoji"


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("build_emoji", EMOJI / "build.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_emoji"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def items():
    return pd.read_csv(EMOJI / "items.csv", dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def pairs():
    return pd.read_parquet(EMOJI / "interactions.parquet")


def test_prepare_reports_what_pandas_counts(tmp_path, monkeypatch, items, pairs):
    monkeypatch.chdir(ROOT)
    statistics = prepare_dataset(compose_config("prepare_dataset", ["dataset=emoji", f"outputs_dir={tmp_path}"]))
    labels = items["labels"].str.split("|").explode()
    counts = np.sort(labels.value_counts().to_numpy())
    lorenz = np.concatenate([[0], np.cumsum(counts) / counts.sum()])
    assert statistics == {
        "images": len(items),
        "items": len(items),
        "image_groups": items["image_group"].nunique(),
        "interactions": len(pairs),
        "users": pairs["user_id"].nunique(),
        "sparsity": len(pairs) / len(items) / pairs["user_id"].nunique(),
        "labels": labels.nunique(),
        "labelled_items": len(items),
        "average_positive_labels": pytest.approx(len(labels) / len(items)),
        "gini_index": pytest.approx(1 - np.trapezoid(lorenz, dx=2 / len(counts))),
        "images_with_interactions": pairs["item_id"].nunique(),
    }
    report = json.loads((EMOJI / "build_report.json").read_text())
    for name in ("items", "image_groups", "labels", "users", "interactions"):
        assert report[name] == statistics[name]


def test_embedded_files_are_consistent_and_small(items, pairs):
    images = {path.name for path in (EMOJI / "images").iterdir()}
    assert images == set(items["image"])
    assert set(pairs["item_id"]) <= set(items["item_id"])
    assert not pairs.duplicated().any()
    assert pairs.groupby("user_id").size().min() >= 2
    assert sum(path.stat().st_size for path in EMOJI.rglob("*") if path.is_file()) <= 6e6


def test_no_user_is_a_label_in_disguise(items, pairs):
    labels = items.set_index("item_id")["labels"].str.split("|").explode()
    n_label, n_user = labels.value_counts(), pairs.groupby("user_id").size()
    shared = pairs.join(labels, on="item_id").groupby(["user_id", "labels"]).size()
    union = n_user.loc[shared.index.get_level_values(0)].to_numpy()
    union = union + n_label.loc[shared.index.get_level_values(1)].to_numpy() - shared.to_numpy()
    assert (shared.to_numpy() / union).max() < 0.5


def test_no_regional_user_repeats_its_parent(pairs):
    split = pairs["user_id"].str.split(":", n=1)
    table = pairs.assign(locale=split.str[0], keyword=split.str[1])
    for locale, parent in [("en-IN", "en-001"), ("en-AU", "en"), ("de-CH", "de"), ("es-MX", "es-419"), ("pt-PT", "pt")]:
        regional, inherited = (table.loc[table["locale"] == name, ["keyword", "item_id"]] for name in (locale, parent))
        assert len(regional)
        assert len(inherited)
        assert regional.merge(inherited).empty


@pytest.mark.parametrize(
    ("character", "base"),
    [
        ("🏃\u200d♀", "🏃"),  # gender
        ("👩\u200d🦰", "🧑"),  # gender and hair
        ("🚶\u200d➡", "🚶"),  # direction
        ("👩\u200d🚀", "🧑\u200d🚀"),  # a person keeps the object
        ("👨\u200d👩\u200d👧", "👪"),
        ("🐈\u200d⬛", "🐈"),
        ("👬", "👭"),
        ("🇩🇪", "🇩🇪"),  # a flag is no variant of another
        ("🏴\U000e0067\U000e0062\U000e007f", "🏴\U000e0067\U000e0062\U000e007f"),
        ("♀", "♀"),
        ("➡", "➡"),
    ],
)
def test_base_character(build, character, base):
    assert build.base_character(character) == base


def test_ancestors(build):
    assert set(build.ancestors("en-GB")) == {"en", "en-001"}
    assert set(build.ancestors("hi-Latn")) == {"hi", "en-IN", "en-001", "en"}
    assert build.ancestors("de") == []


def test_users_by_hand(build):
    annotations = {
        "en": {"pet": {"a", "b", "c"}, "cat": {"a"}},
        "en-GB": {"pet": {"a", "b", "c"}, "moggy": {"a", "b"}, "cat": {"b", "c", "a"}},
        "de": {"Tier": {"a", "b", "x", "y"}},
    }
    users, counts = build.build_users(annotations, {"animal": {"a", "b", "x", "y", "z"}, "far": {"q"}})
    # en:cat has one item; en-GB:pet repeats en:pet; en-GB:cat keeps b and c; de:Tier is 4/5 of animal;
    # en:pet shares 2 of 6, moggy 2 of 5
    assert users == {"en-GB:cat": {"b", "c"}, "en-GB:moggy": {"a", "b"}, "en:pet": {"a", "b", "c"}}
    assert counts == {
        "users_before_filters": 5,
        "interactions_before_filters": 15,
        "interactions_repeating_a_parent_locale": 4,
        "users_with_one_item": 1,
        "users_that_are_nearly_a_label": 1,
        "interactions_of_users_that_are_nearly_a_label": 4,
    }
