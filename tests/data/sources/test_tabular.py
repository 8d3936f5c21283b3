from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from src.config.datasets import TabularConfig
from src.data.preparation.catalog import clean_items
from src.data.sources import get_source
from src.errors import ConfigError, DataError
from tests.data.raw_formats import clean, read_source


@pytest.fixture
def cfg(tmp_path):
    (tmp_path / "items.csv").write_text(
        'item_id,image,labels\n007,a.jpg,cat|dog\nNA,"b,1.jpg",\n3,,|\n4,d.jpg, dog | dog |\n', encoding="utf-8"
    )
    (tmp_path / "interactions.csv").write_text("user_id,item_id,stars\nu1,007,5\nu1,NA,2\nu2,3,4.5\n", encoding="utf-8")
    return TabularConfig(name="x", raw_dir=str(tmp_path), images_dir=str(tmp_path), obtain="Ask the authors.")


def write(cfg, name, text):
    (Path(cfg.raw_dir) / name).write_text(text, encoding="utf-8")


def test_csv_keeps_ids_and_tells_unknown_from_none(cfg):
    raw = read_source(cfg)
    assert raw.items["item_id"].tolist() == ["007", "NA", "3", "4"]
    assert raw.items["image_paths"].tolist() == [["a.jpg"], ["b,1.jpg"], [], ["d.jpg"]]
    assert raw.items["labels"].tolist() == [["cat", "dog"], None, [], ["dog"]]
    assert raw.interactions.values.tolist() == [["u1", "007"], ["u1", "NA"], ["u2", "3"]]


def test_byte_order_mark_is_no_part_of_the_first_column(cfg):
    write(cfg, "items.csv", "\ufeffitem_id,image,labels\n1,a.jpg,cat\n")
    assert read_source(cfg).items["item_id"].tolist() == ["1"]


def test_parquet_holds_lists_and_integer_ids(cfg, tmp_path):
    table = pd.DataFrame({"item_id": [1, 2, 3], "image": ["a", None, "c"], "labels": [["x", "y"], None, []]})
    table.to_parquet(tmp_path / "items.parquet")
    cfg.items_file = "items.parquet"
    items = read_source(cfg).items
    assert items["item_id"].tolist() == ["1", "2", "3"]
    assert items["image_paths"].tolist() == [["a"], [], ["c"]]
    assert items["labels"].tolist() == [["x", "y"], None, []]


def test_parquet_float_ids_match_integer_ids(cfg, tmp_path):
    pd.DataFrame({"user_id": ["u"], "item_id": np.array([3.0])}).to_parquet(tmp_path / "pairs.parquet")
    cfg.interactions_file = "pairs.parquet"
    assert read_source(cfg).interactions["item_id"].tolist() == ["3"]


def test_gzipped_csv(cfg, tmp_path):
    pd.DataFrame({"user_id": ["u"], "item_id": ["007"]}).to_csv(tmp_path / "pairs.csv.gz", index=False)
    cfg.interactions_file = "pairs.csv.gz"
    assert read_source(cfg).interactions.values.tolist() == [["u", "007"]]


def test_low_ratings_are_no_interactions(cfg):
    cfg.rating_column, cfg.min_rating = "stars", 4.0
    raw = read_source(cfg)
    assert raw.interactions["item_id"].tolist() == ["007", "3"]
    assert raw.dropped == {
        "item_cells_missing": 0,
        "interactions_with_a_wrong_number_of_cells": 0,
        "interactions_below_min_rating": 1,
    }


def test_no_interactions_file(cfg):
    cfg.interactions_file = None
    assert read_source(cfg).interactions.empty


def test_missing_file_says_where_to_get_it(cfg):
    cfg.items_file = "gone.csv"
    with pytest.raises(DataError, match=r"gone\.csv does not exist\. .*dataset\.raw_dir.* Ask the authors\."):
        read_source(cfg)


def test_missing_column_names_those_that_exist(cfg):
    cfg.image_column = "picture"
    with pytest.raises(
        DataError, match=r"column\(s\) 'picture', but has 'item_id', 'image', 'labels'.*dataset\.image_column"
    ):
        read_source(cfg)


def test_unknown_format(cfg):
    write(cfg, "items.xlsx", "x")
    cfg.items_file = "items.xlsx"
    with pytest.raises(DataError, match=r"should end in \.csv, \.tsv, \.txt \(also \.gz, \.zst\) or \.parquet"):
        read_source(cfg)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.parquet", b"no parquet", "should be Parquet, but cannot be read"),
        ("x.csv.gz", b"no gzip", "should have the column.* but has 'no gzip'"),
        ("x.csv.gz", b"\x1f\x8bno gzip", "cannot be read .*zlib"),
        ("x.csv.zst", b"\x28\xb5\x2f\xfdno zstd", "cannot be read .*ZSTD"),
        ("x.csv", b"", "cannot be read .it is empty"),
    ],
)
def test_damaged_table(cfg, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    cfg.items_file = name
    with pytest.raises(DataError, match=message):
        read_source(cfg)


def test_rating_that_is_no_number(cfg):
    write(cfg, "interactions.csv", "user_id,item_id,stars\nu,3,4\nu,4,good\n")
    cfg.rating_column, cfg.min_rating = "stars", 4.0
    with pytest.raises(DataError, match=r"'stars' should hold numbers, but 1 row.* such as 'good'"):
        read_source(cfg)


def test_labels_of_a_wrong_kind(cfg, tmp_path):
    pd.DataFrame({"item_id": ["1"], "image": ["a"], "labels": [3.5]}).to_parquet(tmp_path / "items.parquet")
    cfg.items_file = "items.parquet"
    with pytest.raises(
        DataError, match=r"should hold names joined by '\|', or lists of text or whole numbers, but holds 3.5"
    ):
        read_source(cfg)


def test_unknown_source():
    with pytest.raises(ConfigError, match=r"dataset\.source should be one of .*tabular.*, but is 'oracle'"):
        get_source("oracle")


def test_repeated_items_are_merged_and_empty_ids_left_out(cfg):
    write(cfg, "items.csv", "item_id,image,labels\n1,a.jpg,cat|dog\n1,a.jpg,dog|cat\n,x.jpg,cat\n2,,\n2,,\n")
    items, dropped = clean_items(read_source(cfg).items, cfg)
    assert items["item_id"].tolist() == ["1", "2"]
    assert dropped == {"items_with_an_empty_id": 1, "items_repeated": 2}


def test_contradicting_items_are_named(cfg):
    write(cfg, "items.csv", "item_id,image,labels\n1,a.jpg,cat\n1,a.jpg,dog\n2,b.jpg,cat\n")
    with pytest.raises(DataError, match=r"rows differ for 1 id\(s\): 1\."):
        clean_items(read_source(cfg).items, cfg)


def test_single_label_dataset_with_two_labels(cfg):
    cfg.single_label = True
    with pytest.raises(DataError, match=r"should have one label, but 1 have more: 007\."):
        clean_items(read_source(cfg).items, cfg)


def test_no_items(cfg):
    write(cfg, "items.csv", "item_id,image,labels\n")
    with pytest.raises(DataError, match="at least one item"):
        clean_items(read_source(cfg).items, cfg)


def test_interactions_are_distinct_known_and_counted(cfg):
    rows = ["b,3", "a,4", "a,3", "a,3", "a,zzz", ",3", "b,", "c,3"]
    write(cfg, "interactions.csv", "user_id,item_id\n" + "\n".join(rows) + "\n")
    raw = read_source(cfg)
    table, dropped = clean(raw, least=2)
    assert table == [["a", "3"], ["a", "4"]]
    assert dropped == {
        "interactions_with_an_empty_id": 2,
        "interactions_with_an_unknown_item": 1,
        "interactions_repeated": 1,
        "users_with_too_few_items": 2,  # b and c have one item
        "interactions_of_users_with_too_few_items": 2,
    }


def test_users_with_one_interaction_stay_by_default(cfg):
    raw = read_source(cfg)
    table, dropped = clean(raw, least=1)
    assert table == [["u1", "007"], ["u1", "NA"], ["u2", "3"]]
    assert dropped["users_with_too_few_items"] == 0
