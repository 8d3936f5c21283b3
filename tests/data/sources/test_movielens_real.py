"""Counts of the prepared real MovieLens against a few lines of pandas; skipped where the files are not at hand."""

import json
from pathlib import Path

import pandas as pd
import pytest

from src.data.preparation.prepare import prepare_dataset
from tests.pipeline import ROOT, compose_config

SHARED = ROOT.parent / "shared" / "data"
SMALL, POSTERS = SHARED / "ml-latest-small", SHARED / "movielens-posters"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not SMALL.is_dir(), reason="the real files are not at hand")]


def prepare(tmp_path, *overrides):
    cfg = compose_config(
        "prepare_dataset", *overrides, f"dataset.images_dir={SMALL}/posters", "dataset.store_size=32",
        f"outputs_dir={tmp_path}",
    )  # fmt: skip
    statistics = prepare_dataset(cfg)
    return statistics, json.loads((tmp_path / cfg.dataset.name / "prepared" / "report.json").read_text())


def test_latest_small(tmp_path):
    statistics, report = prepare(tmp_path, "dataset=movielens", f"dataset.raw_dir={SMALL}")
    movies, ratings = pd.read_csv(SMALL / "movies.csv"), pd.read_csv(SMALL / "ratings.csv")
    posters = {int(path.stem) for path in Path(SMALL / "posters").glob("*.jpg")}
    shown = movies[movies["movieId"].isin(posters)]
    genres = shown["genres"].str.split("|").explode()
    listed = genres[genres != "(no genres listed)"]
    assert statistics["images"] == len(shown)
    assert statistics["items"] == len(movies)
    assert statistics["interactions"] == len(ratings.drop_duplicates(["userId", "movieId"]))
    assert statistics["users"] == ratings["userId"].nunique()
    assert report["items_per_label"] == listed.value_counts().to_dict()
    assert statistics["average_positive_labels"] == pytest.approx(len(listed) / listed.index.nunique())
    assert report["items"]["with_unknown_labels"] == (movies["genres"] == "(no genres listed)").sum()
    assert report["items"]["without_interactions"] == (~movies["movieId"].isin(ratings["movieId"])).sum()
    assert report["images"]["refused"]["file is missing"]["count"] == len(movies) - len(shown)


def test_posters_go_in_by_their_yaml_alone(tmp_path):
    statistics, report = prepare(tmp_path, "dataset=movielens_posters", f"dataset.raw_dir={POSTERS}")
    items = pd.read_csv(POSTERS / "items.csv", dtype=str)
    pairs = pd.read_csv(POSTERS / "interactions.csv.gz", dtype=str).drop_duplicates()
    known = pairs[pairs["item_id"].isin(items["item_id"])]
    assert statistics["images"] == len(items)
    assert statistics["interactions"] == len(known)
    assert statistics["users"] == known["user_id"].nunique()
    assert report["items_per_label"] == items["labels"].str.split("|").explode().value_counts().to_dict()
