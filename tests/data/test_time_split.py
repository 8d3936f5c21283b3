"""``dataset.split=time``: the items that were met last are tested on."""

import json

import pandas as pd
import pytest

from src.config.datasets import AmazonConfig
from src.data.folds import TEST, TRAIN, VAL, load_items, open_fold
from src.data.preparation.catalog import split_by_time
from src.errors import ConfigError, DataError
from tests.data.raw_formats import read_source, write_amazon, write_movielens
from tests.data.tiny import write_tiny_dataset
from tests.pipeline import Pipeline

TIME = ("dataset.split=time", "dataset.time_column=when")


@pytest.fixture
def dated(tmp_path):
    """The tiny dataset, whose item n is first met on day n."""
    pipeline = Pipeline(write_tiny_dataset(tmp_path / "raw"), tmp_path / "outputs")
    pairs = pd.read_csv(pipeline.raw_dir / "interactions.csv")
    day = pairs["item_id"].str[4:].astype(int)
    later = pairs.groupby("item_id").cumcount() * 400  # each further time, more than a year later
    pairs["when"] = (pd.Timestamp("2020-01-01") + pd.to_timedelta(day + later, unit="D")).astype(str)
    pairs.to_csv(pipeline.raw_dir / "interactions.csv", index=False)
    return pipeline


def test_newest_items_are_test_and_those_before_validation(dated):
    met = pd.read_csv(dated.raw_dir / "interactions.csv")["item_id"].nunique()
    assert met == 120
    dated.run("prepare_dataset", *TIME)
    prepared = dated.outputs_dir / "tiny" / "prepared"
    items = load_items(prepared, 0)
    number = items["item_id"].str[4:].astype(int)
    assert [set(number[items["split"] == split]) for split in (TEST, VAL, TRAIN)] == [
        set(range(102, 120)), set(range(84, 102)), set(range(84)),
    ]  # fmt: skip
    fold = open_fold(prepared, 0)
    assert fold.train_interactions["item_idx"].max() < 84
    with pytest.raises(ConfigError, match=r"With dataset\.split=time there is one fold, 0, but fold=1 is asked for"):
        open_fold(prepared, 1)
    assert json.loads((prepared / "manifest.json").read_text())["split"] == "time"
    assert dated.run("train_recommender", *TIME)["auc_strict"] > 0.6


def test_time_changes_nothing_unless_asked_for(dated):
    dated.run("prepare_dataset")
    first = pd.read_parquet(dated.outputs_dir / "tiny" / "prepared" / "items.parquet")
    dated.run("prepare_dataset", TIME[1])
    again = pd.read_parquet(dated.outputs_dir / "tiny" / "prepared" / "items.parquet")
    pd.testing.assert_frame_equal(first, again)


def test_times_that_are_missing_or_no_times(dated):
    with pytest.raises(ConfigError, match=r"needs the times of interactions; set dataset\.time_column"):
        dated.run("prepare_dataset", TIME[0])
    path = dated.raw_dir / "interactions.csv"
    path.write_text(path.read_text().replace("2020-01-05", "yesterday"))
    with pytest.raises(
        DataError, match=r"'when' should hold numbers or dates, but \d+ row\(s\) hold none, such as 'yes"
    ):
        dated.run("prepare_dataset", *TIME)


def test_groups_are_as_old_as_their_oldest_item():
    items = pd.DataFrame({"item_id": [f"{n:02d}" for n in range(20)], "image_paths": [["a.png"]] * 20})
    items["image_group"] = ["old"] + [f"g{n:02d}" for n in range(1, 19)] + ["old"]
    met = {f"{n:02d}": float(n) for n in range(20) if n != 18}  # 18 was never met
    part = split_by_time(items, met)["part"].tolist()
    assert part == [6] * 12 + [3] * 3 + [0] * 3 + [6, 6]


@pytest.mark.parametrize("ending", ["csv", "dat"])
def test_movielens_has_times(ending, tmp_path):
    movies = {"csv": "movieId,title,genres\n1,A,Drama\n", "dat": "1::A::Drama\n"}[ending]
    ratings = {"csv": "userId,movieId,rating,timestamp\n5,1,4,99\n", "dat": "5::1::4::99\n"}[ending]
    cfg = write_movielens(tmp_path, movies, ratings, ending)
    assert "time" not in read_source(cfg).interactions
    cfg.split = "time"
    assert read_source(cfg).interactions["time"].tolist() == [99.0]


def test_amazon_has_times(tmp_path):
    lines = [json.dumps({"reviewerID": "u", "asin": a, "unixReviewTime": t}) for a, t in (("A", 7), ("B", None))]
    cfg = write_amazon(tmp_path, lines, ["{'asin': 'A'}"])
    assert isinstance(cfg, AmazonConfig)
    times = read_source(cfg).interactions.set_index("item_id")["time"]
    assert times["A"] == 7.0
    assert pd.isna(times["B"])
