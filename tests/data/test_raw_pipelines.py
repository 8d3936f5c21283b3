"""Each raw format through prepare, and the tiny dataset in each format through all stages."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from src.artifacts import Predictions
from src.config.stages import PrepareConfig
from src.data.folds import TEST, load_items
from src.data.preparation.prepare import prepare_dataset
from src.data.sources.raw import downloaded_path
from tests.data.raw_formats import (
    read_pairs,
    tiny_as_amazon,
    tiny_as_movielens,
    tiny_as_pinterest,
    write_amazon,
    write_image,
    write_movielens,
    write_pinterest,
)
from tests.data.raw_samples import (
    BABY_URL,
    CATEGORIES,
    CHESS_URL,
    DOLLS_URL,
    MOVIES_10M,
    MOVIES_CSV,
    P1_URL,
    P3_URL,
    PRODUCTS,
    RATINGS_10M,
    RATINGS_CSV,
    REPINS,
    REVIEWS,
    TUTU_URL,
    URLS,
)
from tests.data.tiny import tiny_config, write_tiny_dataset
from tests.pipeline import Pipeline


def prepare(dataset, tmp_path):
    """Statistics, report, and tables as plain lists of a prepared dataset."""
    cfg = PrepareConfig(dataset=dataset, outputs_dir=str(tmp_path / "outputs"), num_workers=1, figures=False)
    prepare_dataset(cfg)
    prepared = tmp_path / "outputs" / dataset.name / "prepared"
    report = json.loads((prepared / "report.json").read_text())
    items = pd.read_parquet(prepared / "items.parquet")
    labels = {k: None if v is None else list(v) for k, v in zip(items["item_id"], items["labels"], strict=True)}
    pairs = read_pairs(prepared)
    return report, labels, items.set_index("item_id"), pairs


def test_amazon(tmp_path):
    cfg = write_amazon(tmp_path / "raw", REVIEWS, PRODUCTS)
    cfg.min_items_per_label = 2
    for url, grey in {TUTU_URL: 0, DOLLS_URL: 40, BABY_URL: 80, CHESS_URL: 120}.items():  # DEAD_URL has none
        write_image(cfg.images_dir, downloaded_path(url), grey)
    report, labels, items, pairs = prepare(cfg, tmp_path)
    dolls = "Dolls & Accessories"
    assert labels == {
        "0000013714": None,
        "0000031852": None,
        "BARE": None,
        "CUT": None,
        "DOLL1": [dolls, f"{dolls} + Dolls"],
        "DOLL2": [dolls],
        "DOLL3": [dolls, f"{dolls} + Dolls"],
        "GAME1": [],
        "GAME2": [],
        "TOP": [],
    }
    assert items["image_paths"].str[0].dropna().to_dict() == {
        "0000031852": downloaded_path(TUTU_URL),
        "DOLL1": downloaded_path(DOLLS_URL),
        "DOLL2": downloaded_path(DOLLS_URL),
        "DOLL3": downloaded_path(BABY_URL),
        "GAME1": downloaded_path(CHESS_URL),
    }
    assert items.loc["DOLL1", "image_group"] == items.loc["DOLL2", "image_group"] != items.loc["DOLL3", "image_group"]
    assert pairs == [
        ["A2SUAM1J3GNN3B", "0000013714"], ["u1", "0000031852"], ["u1", "CUT"], ["u1", "DOLL1"], ["u2", "DOLL1"],
        ["u2", "DOLL2"], ["u2", "DOLL3"], ["u3", "BARE"], ["u3", "GAME1"], ["u3", "GAME2"], ["u3", "TOP"],
    ]  # fmt: skip
    assert report["read"] == {"items": 10, "interactions": 13}
    assert report["dropped"] == {
        "metadata_of_products_without_reviews": 2,
        "metadata_that_cannot_be_read": 2,
        "metadata_repeated": 1,
        "reviews_that_cannot_be_read": 5,
        "images_that_are_placeholders": 1,
        "items_without_metadata": 2,
        "items_with_an_empty_id": 0,
        "items_repeated": 0,
        "interactions_with_an_empty_id": 1,
        "interactions_with_an_unknown_item": 0,
        "interactions_repeated": 1,
        "users_with_too_few_items": 0,
        "interactions_of_users_with_too_few_items": 0,
    }
    assert report["items"] == {
        "whose_image_is_not_named": 4,  # 0000013714, BARE, CUT, GAME2
        "whose_image_was_refused": 1,  # TOP
        "with_unknown_labels": 4,
        "known_to_have_no_label": 3,
        "without_interactions": 0,
    }
    assert report["labels"] == {
        "merged_into_parent": {"Games + Board Games": "Games", "Games + Card Games": "Games"},
        "dropped": {"Games": 1, "Puzzles": 1},
    }
    assert report["items_per_label"] == {dolls: 3, f"{dolls} + Dolls": 2}
    assert report["images"]["shared_by_items"] == {"images": 1, "items": 2}
    assert report["images"]["refused"] == {"file is missing": {"count": 1, "examples": ["TOP"]}}
    assert report["statistics"]["images"] == 5
    assert report["statistics"]["average_positive_labels"] == (2 + 1 + 2 + 0) / 4


@pytest.mark.parametrize(
    ("movies", "ratings", "ending"), [(MOVIES_10M, RATINGS_10M, "dat"), (MOVIES_CSV, RATINGS_CSV, "csv")]
)
def test_movielens(movies, ratings, ending, tmp_path):
    cfg = write_movielens(tmp_path / "raw", movies, ratings, ending)
    films = {"dat": ["122", "185", "5"], "csv": ["1", "33794", "77"]}[ending]
    for grey, film in enumerate(films):
        write_image(cfg.images_dir, f"{film}.jpg", 60 * grey, format="JPEG")
    write_image(cfg.images_dir, "8606.jpg", 200, format="PNG")  # a poster that is no JPEG
    write_image(cfg.images_dir, "999.jpg", 250)  # of a film that is not listed
    page = {"dat": "6", "csv": "12"}[ending]
    Path(cfg.images_dir, f"{page}.jpg").write_text("<html>404</html>")
    report, labels, items, pairs = prepare(cfg, tmp_path)
    assert items["image_paths"].str[0].dropna().to_dict() == {film: f"{film}.jpg" for film in [*films, "8606"]}
    assert report["images"]["refused"]["file is not an image of a known format"] == {"count": 1, "examples": [page]}
    assert report["dropped"]["interactions_with_an_unknown_item"] == 1  # 404
    if ending == "dat":
        assert labels == {
            "122": ["Comedy", "Romance"],
            "185": ["Action", "Crime", "Thriller"],
            "5": ["Drama", "IMAX"],
            "6": None,
            "8606": None,
        }
        assert pairs == [["1", "122"], ["1", "185"], ["2", "185"], ["2", "5"]]
        assert report["items"]["without_interactions"] == 2  # 6 and 8606
        assert (report["dropped"]["movies_that_cannot_be_read"], report["items"]["whose_image_was_refused"]) == (1, 1)
    else:
        assert labels == {
            "1": ["Adventure", "Animation", "Children"],
            "11": ["Drama"],  # no other film with poster is a comedy or romance
            "12": [],
            "33794": ["Action", "Crime", "IMAX"],
            "77": ["Drama"],
            "78": None,
            "8606": None,
        }
        assert pairs == [["1", "1"], ["1", "11"], ["1", "12"], ["2", "33794"], ["2", "8606"]]
        assert report["items"]["without_interactions"] == 2  # 77 and 78
        assert report["labels"]["dropped"] == {"Comedy": 0, "Romance": 0}
        assert report["images"]["refused"]["file is missing"] == {"count": 2, "examples": ["11", "78"]}


def test_pinterest(tmp_path):
    cfg = write_pinterest(tmp_path / "raw", REPINS, URLS, CATEGORIES)
    write_image(cfg.images_dir, downloaded_path(P1_URL), 10)
    write_image(cfg.images_dir, downloaded_path(P3_URL), 200, format="JPEG")
    report, labels, items, pairs = prepare(cfg, tmp_path)
    assert labels == {"p1": ["animals"], "p2": ["animals"], "p3": ["cars"], "p4": None, "p6": []}  # design: no image
    assert items["image_paths"].str[0].dropna().index.tolist() == ["p1", "p3", "p4"]
    assert items.loc["p1", "image_group"] == items.loc["p4", "image_group"]
    assert pairs == [
        ["u1", "p1"], ["u1", "p2"], ["u1", "p3"], ["u1", "p4"], ["u2", "p1"], ["u2", "p2"], ["u2", "p3"], ["u2", "p4"],
        ["u3", "p3"], ["u3", "p6"], ["u4", "p3"], ["u4", "p6"],
    ]  # fmt: skip
    assert report["dropped"]["interactions_repeated"] == 1
    assert report["dropped"]["repins_of_pins_with_too_few"] == 1
    assert report["notes"]["pins_whose_majority_is_a_tie"] == 1
    assert report["items_per_label"] == {"animals": 1, "cars": 1}
    text = (tmp_path / "outputs" / "pinterest" / "prepared" / "report.md").read_text()
    assert "pins_whose_majority_is_a_tie: 1" in text


FORMATS = {
    "amazon": tiny_as_amazon,
    "movielens-dat": lambda tiny, folder: tiny_as_movielens(tiny, folder, "dat"),
    "movielens-csv": lambda tiny, folder: tiny_as_movielens(tiny, folder, "csv"),
    "pinterest": tiny_as_pinterest,
}


def first_label_alone(tiny):
    """Change the tiny dataset as Pinterest, which has one label an item, must see it."""
    items = pd.read_csv(tiny / "items.csv", dtype=str)
    items.assign(labels=items["labels"].str.partition("|")[0]).to_csv(tiny / "items.csv", index=False)


@pytest.mark.parametrize("name", FORMATS)
def test_the_tiny_dataset_is_the_same_in_every_format(name, tmp_path):
    tiny = write_tiny_dataset(tmp_path / "tiny", n_items=40, n_users=60)
    if name == "pinterest":
        first_label_alone(tiny)
    prepare_dataset(tiny_config(tiny, tmp_path / "outputs"))
    report, _, items, pairs = prepare(FORMATS[name](tiny, tmp_path / "raw"), tmp_path)
    original = tmp_path / "outputs" / "tiny" / "prepared"
    expected = pd.read_parquet(original / "items.parquet").set_index("item_id")
    assert len(expected) == 40
    assert (items["image_paths"].str.len() == 1).all()
    pd.testing.assert_frame_equal(items.drop(columns="image_paths"), expected.drop(columns="image_paths"))
    assert pairs == read_pairs(original)
    assert report["statistics"] == json.loads((original / "report.json").read_text())["statistics"]


@dataclass(frozen=True)
class RawPipeline(Pipeline):
    """The pipeline on a dataset in a raw format."""

    dataset: str = "toys"

    def overrides(self, stage):
        """As for the tiny dataset, but of this one."""
        common = [text for text in super().overrides(stage) if not text.startswith("dataset")]
        settings = [f"dataset={self.dataset}", "dataset.store_size=32", f"dataset.raw_dir={self.raw_dir}"]
        if self.dataset == "toys":
            settings.append("dataset.min_items_per_label=2")
        if self.dataset == "pinterest":
            settings.append("dataset.min_repins=2")
        return [*settings, *common]


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_all_stages(name, tmp_path):
    tiny = write_tiny_dataset(tmp_path / "tiny")
    dataset = FORMATS[name](tiny, tmp_path / "raw").name
    pipeline = RawPipeline(tmp_path / "raw", tmp_path / "outputs", dataset)
    assert pipeline.run("prepare_dataset")["images"] == 120
    assert pipeline.run("train_recommender")
    pipeline.classify("image_only")
    pipeline.classify("mtl_uniform")
    assert pipeline.run("predict_testset")["n_predicted"] == 2
    pipeline.run("evaluate_methods")
    outputs = tmp_path / "outputs" / dataset
    items = load_items(outputs / "prepared", 0)
    (run,) = (path for path in (outputs / "classifier" / "image_only").glob("*") if path.is_dir())
    predictions = Predictions.load(run / "predictions.npz")
    assert set(predictions.item_id) == set(items.loc[items["split"] == TEST, "item_id"])
    text = next((outputs / "evaluation").glob("methods_*.md")).read_text()
    assert all(method in text for method in ("image_only", "mtl_uniform"))
