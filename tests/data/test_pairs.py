import gzip

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.data.sources import pairs
from src.data.sources.pairs import Delimited, as_ids, no_pairs, read_columns, read_parquet_columns
from src.data.sources.raw import read_table
from src.errors import DataError

IDS, PIPES = ("user_id", "item_id"), Delimited("|", ("user_id", "item_id", "x"), quoted=False)


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def generated(n_rows, seed=0):
    rng = np.random.default_rng(seed)
    names = ["7", "007", "NA", "", "é", "a b", 'say "so"', "x,y", "null", *map(str, range(200))]
    return pd.DataFrame(
        {
            "other": rng.integers(0, 9, n_rows),
            "item_id": rng.choice(names, n_rows),
            "rating": rng.integers(0, 11, n_rows) / 2,
            "user_id": [f"u{number}" for number in rng.zipf(1.5, n_rows) % 5000],
        }
    )


@pytest.mark.parametrize("block", [200, 1000, 8 << 20])
@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_columns_against_pandas_over_blocks_of_any_size(block, ending, tmp_path, monkeypatch):
    path = tmp_path / f"table.{ending}"
    generated(3000).to_csv(path, index=False)
    monkeypatch.setattr(pairs, "BLOCK_BYTES", block)
    table, damaged = read_columns(path, Delimited(), IDS, ("rating",))
    expected = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert damaged == 0
    for name in IDS:
        assert table[name].tolist() == expected[name].tolist()
        assert table[name].cat.categories.tolist() == sorted(set(expected[name]))
        assert table[name].cat.codes.dtype.itemsize <= 4
    assert table["rating"].tolist() == expected["rating"].astype(float).tolist()


@pytest.mark.parametrize("block", [64, 8 << 20])
def test_rows_of_another_length_are_counted(block, tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "BLOCK_BYTES", block)
    lines = [["u|i|x", "u|i", "v|j|y", "v|j|y|z", "w"][place % 5] for place in range(100)]
    table, damaged = read_columns(write(tmp_path / "t", "\n".join(lines)), PIPES, IDS)
    assert damaged == 60
    assert table.values.tolist() == [["u", "i"], ["v", "j"]] * 20


def test_quotes_are_text_where_they_do_not_quote(tmp_path):
    table, _ = read_columns(write(tmp_path / "t", '"u|i|x\n v |"j"|"\n'), PIPES, IDS)
    assert table.values.tolist() == [['"u', "i"], ["v", '"j"']]  # and blanks around an id are no part of it


def test_header_alone_is_an_empty_table(tmp_path):
    table, damaged = read_columns(write(tmp_path / "t.csv", "user_id,item_id,rating\n"), Delimited(), IDS, ("rating",))
    assert table.columns.tolist() == ["user_id", "item_id", "rating"]
    assert (len(table), damaged) == (0, 0)
    assert table["user_id"].cat.categories.tolist() == []
    assert no_pairs().columns.tolist() == ["user_id", "item_id"]


def test_missing_numbers_are_nan(tmp_path):
    path = write(tmp_path / "t.csv", "user_id,item_id,rating\nu,i,\nu,i,NA\nu,i,1.5\n")
    assert read_columns(path, Delimited(), IDS, ("rating",))[0]["rating"].isna().tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "Empty CSV file"),
        ("user_id,item\nu,i\n", "Column 'item_id' in include_columns does not exist"),
        (b"user_id,item_id\nu,\xff\n", "invalid UTF8 data"),
        (b"user_id,item_id\n\xff\n", "Expected 2 columns, got 1"),  # a row that cannot even be shown
        ("user_id,item_id\n" + "u" * 300 + ",i\nu,i\n", "straddl"),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_damaged_tables(content, message, tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "BLOCK_BYTES", 64)
    with pytest.raises(DataError, match=rf"should be a table with the columns user_id, item_id, .*{message}.*get it"):
        read_columns(write(tmp_path / "t.csv", content), Delimited(), IDS)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-3],
        lambda content: content[:40],
        lambda content: content[:-8] + bytes(8),  # wrong checksum
        lambda content: content[:30] + bytes(30) + content[60:],
        lambda content: content + b"junk",
        lambda content: b"user_id,item_id\nu,i\n",
    ],
)
def test_damaged_gzip(damage, tmp_path):
    rng = np.random.default_rng(0)
    content = gzip.compress(b"user_id,item_id\n" + b"".join(b"u%d,i\n" % number for number in rng.integers(0, 99, 500)))
    with pytest.raises(DataError, match=r"Truncated compressed stream|zlib inflate failed"):
        read_columns(write(tmp_path / "t.csv.gz", damage(content)), Delimited(), IDS)


def test_several_gzip_members_are_one_table(tmp_path):
    content = gzip.compress(b"user_id,item_id\nu,i\n") + gzip.compress(b"v,j\n")
    table, _ = read_columns(write(tmp_path / "t.csv.gz", content), Delimited(), IDS)
    assert table.values.tolist() == [["u", "i"], ["v", "j"]]


@pytest.mark.parametrize(
    ("column", "ids"),
    [
        (pd.Series([10, 9, 10]), ["10", "9", "10"]),
        (pd.Series([3.0, np.nan, 1e15]), ["3", "", "1000000000000000"]),
        (pd.Series([3.5, 3.0]), ["3.5", "3.0"]),
        (pd.Series([1e300, 3.0]), ["1e+300", "3.0"]),  # too large for a whole number
        (pd.Series([np.inf, 3.0]), ["inf", "3.0"]),
        (pd.Series([2**63 - 1, -5]), ["9223372036854775807", "-5"]),
        (pd.Series([1, None, 2], dtype="Int64"), ["1", "", "2"]),
        (pd.Series([" a", "a ", None, "", "\ta\n", "b c"]), ["a", "a", "", "", "a", "b c"]),
        (pd.Series(["a", 1, None, "1"], dtype=object), ["a", "1", "", "1"]),
        (pd.Series(["a\0", "a"]), ["a\0", "a"]),
        (pd.Series([True, False]), ["True", "False"]),
        (pd.Series(["b", None, "a "]).astype("category"), ["b", "", "a"]),
        (pd.Series([2, 1, 2]).astype("category"), ["2", "1", "2"]),
        (pd.Series([2.0, None]).astype("category"), ["2", ""]),
        (pd.Series([], dtype=object), []),
        (pd.Series([], dtype=float), []),
    ],
)
def test_ids_of_any_kind_are_text(column, ids):
    found = as_ids(column)
    assert found.tolist() == ids
    assert found.cat.categories.tolist() == sorted(set(ids))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=3) | st.none()))
def test_ids_of_any_text(texts):
    found = as_ids(pd.Series(texts, dtype=object, index=range(5, 5 + len(texts))))
    assert found.tolist() == [(text or "").strip() for text in texts]
    assert found.cat.categories.tolist() == sorted(set(found))
    assert found.index.tolist() == list(range(5, 5 + len(texts)))


def test_one_long_id_costs_no_more_than_itself():
    ids = as_ids(pd.Series(["x" * 1_000_000, *map(str, range(50_000))]))  # as an array of fixed width: 200 GB
    assert len(ids.cat.categories) == 50_001


def test_parquet_against_the_table(tmp_path):
    table = generated(500).assign(user_id=lambda frame: frame["user_id"].astype("category"), number=range(500))
    table.to_parquet(tmp_path / "t.parquet")
    found = read_parquet_columns(tmp_path / "t.parquet", ["user_id", "item_id", "number"], ["rating"])
    for name in IDS:
        assert found[name].tolist() == table[name].tolist()
    assert found["number"].tolist() == list(map(str, range(500)))
    assert found["rating"].tolist() == table["rating"].tolist()


def test_index_of_a_parquet_table_is_a_column(tmp_path):
    table = pd.DataFrame({"user_id": ["u", "v"], "item_id": [2, 1]})
    table.set_index("user_id").to_parquet(tmp_path / "t.parquet")
    assert read_parquet_columns(tmp_path / "t.parquet", IDS).values.tolist() == [["u", "2"], ["v", "1"]]
    assert read_table(tmp_path / "t.parquet", dict.fromkeys(IDS, "x")).values.tolist() == [["u", 2], ["v", 1]]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"user_id": pa.array([["u"]]), "item_id": ["i"]}, "unhashable"),
        ({"user_id": ["u"], "item": ["i"]}, "item_id"),
        (None, "Parquet magic bytes"),
    ],
)
def test_damaged_parquet(table, message, tmp_path):
    path = write(tmp_path / "t.parquet", "no parquet at all")
    if table is not None:
        pa.parquet.write_table(pa.table(table), path)
    with pytest.raises(DataError, match=rf"should be a Parquet table with the columns user_id, item_id, .*{message}"):
        read_parquet_columns(path, IDS)


def test_rows_longer_than_the_header_do_not_shift_the_columns(tmp_path):
    path = write(tmp_path / "t.csv", "item_id,image\n1,a.jpg,\n2,b.jpg,\n")
    with pytest.raises(DataError, match=r"cannot be read as \.csv \(rows have more cells than the header line\)"):
        read_table(path, {"item_id": "item_column"})


def test_short_rows_end_in_empty_cells(tmp_path):
    table = read_table(write(tmp_path / "t.csv", "item_id,image\n1\n2,b\n"), {"item_id": "x", "image": "y"})
    assert table["item_id"].tolist() == ["1", "2"]
    assert table["image"].tolist() == ["", "b"]
