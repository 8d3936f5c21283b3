"""What users bring: one test for each kind of table that was once read wrongly or refused without need."""

import gzip
import json
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from src.data.preparation.prepare import prepare_dataset
from src.data.sources.raw import web_address
from src.data.tables import text
from src.errors import DataError
from tests.data.raw_formats import read_pairs, read_source, write_image, write_tabular
from tests.data.tiny import tiny_config


@pytest.fixture
def cfg(tmp_path):
    cfg = write_tabular(tmp_path, [("12", "a.png"), ("13", "")], [("u", "12")])
    write_image(cfg.images_dir, "a.png", 5)
    return cfg


def write(cfg, name, content):
    (Path(cfg.raw_dir) / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def columns_of(cfg, **columns):
    """Make the interactions, or the items where there are labels, a Parquet table of these columns."""
    name = "items" if "labels" in columns else "interactions"
    parquet.write_table(pa.table(columns), Path(cfg.raw_dir) / f"{name}.parquet")
    setattr(cfg, f"{name}_file", f"{name}.parquet")


def prepared(cfg, tmp_path, **changes):
    settings = {k: v for k, v in vars(cfg).items() if not callable(v)} | changes
    prepare_dataset(tiny_config(tmp_path, tmp_path / "outputs", figures=True, **settings))
    return tmp_path / "outputs" / cfg.name / "prepared"


BIG = [2**53 + n for n in range(5)]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([*BIG, None], pa.int64()), [*map(str, BIG), ""]),  # as decimals two of three would be one
        (pa.array([2**64 - 1, 0], pa.uint64()), ["18446744073709551615", "0"]),
        (pa.array([Decimal("12.00"), Decimal("12.50"), None], pa.decimal128(9, 2)), ["12", "12.50", ""]),
        (pa.array([12.0, 3.5, -0.0, float("nan"), None]), ["12", "3.5", "0", "", ""]),
        (pa.array(["007", " a ", None, ""]).dictionary_encode(), ["007", "a", "", ""]),
        (pa.array([b"x", b"\xc3\xa9"]), ["x", "é"]),
        (pa.array(["\u3000a\u00a0", "a b"], pa.large_string()), ["a", "a b"]),
    ],
)
def test_ids_of_any_type_are_exact_text(cfg, column, expected):
    columns_of(cfg, user_id=column, item_id=column)
    assert read_source(cfg).interactions.values.tolist() == [[one, one] for one in expected]


@pytest.mark.parametrize("column", [pa.array([2.0**53]), pa.array([2.0**24], pa.float32()), pa.array([float("inf")])])
def test_decimals_that_may_have_merged_ids_are_refused(cfg, column):
    columns_of(cfg, user_id=column, item_id=column)
    with pytest.raises(DataError, match=r"holds decimals as large as .* write ids as text or whole numbers"):
        read_source(cfg)


def test_ids_in_lists_are_refused(cfg):
    columns_of(cfg, user_id=["u"], item_id=[["12"]])
    with pytest.raises(DataError, match="column 'item_id' should hold text or numbers, but holds lists"):
        read_source(cfg)


@pytest.mark.parametrize(
    "content",
    [
        "user_id;item_id\nu;12\n",
        "user_id\titem_id\nu\t12\n",
        "user_id|item_id\nu|12\n",
        "user_id::item_id\nu::12\n",
        " user_id , item_id \nu, 12\n",
        "'user_id','item_id'\n'u','12'\n",
        "user_id,item_id\r\nu,12\r\n",
        "user_id,item_id\ru,12\r",
        "user_id,item_id\r\nu,12\n",
        "\ufeffuser_id,item_id\nu,12",
        'note,user_id,item_id\n"says \\"hi\\", and\nleaves",u,12\n',
        "\nuser_id,item_id\nu,12\n\n",
        "user_id,item_id\nu,12,\n",
        "user_id,item_id\nu,12\n".encode("utf-16"),
        "r\xf6le,user_id,item_id\n\xe9,u,12\n".encode("latin-1"),
        gzip.compress(b"user_id,item_id\nu,12\n", mtime=0),
        pa.Codec("zstd").compress(b"user_id,item_id\nu,12\n", asbytes=True),
    ],
)
def test_any_dialect_is_read(cfg, content):
    write(cfg, "interactions.csv", content)
    assert read_source(cfg).interactions.values.tolist() == [["u", "12"]]


def test_a_given_encoding_and_delimiter_are_used(cfg):
    write(cfg, "items.csv", "item_id^image^labels\n12^a.png^д\n".encode("cp1251"))
    write(cfg, "interactions.csv", "user_id^item_id\nд^12\n".encode("cp1251"))
    cfg.encoding, cfg.delimiter = "cp1251", "^"
    raw = read_source(cfg)
    assert raw.items["labels"].tolist() == [["д"]]
    assert raw.interactions.values.tolist() == [["д", "12"]]
    cfg.encoding = "klingon"
    with pytest.raises(DataError, match=r"unknown encoding: klingon.*dataset\.encoding"):
        read_source(cfg)


def test_another_encoding_than_utf8_is_said(cfg, caplog):
    write(cfg, "interactions.csv", "user_id,item_id\nJos\xe9,12\n".encode("cp1252"))
    assert read_source(cfg).interactions.values.tolist() == [["José", "12"]]
    assert "interactions.csv is not UTF-8 and was read as cp1252; dataset.encoding sets another" in caplog.text


def test_headers_are_shown_in_quotes(cfg):
    write(cfg, "interactions.csv", "user_id\u00a0x;item_id \nu;12\n")
    with pytest.raises(DataError, match=r"should have the column\(s\) 'user_id', but has 'user_id\\xa0x', 'item_id ' "):
        read_source(cfg)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_folder_of_parts_is_one_table(cfg, ending):
    folder = Path(cfg.raw_dir) / "interactions" / "day=1"
    folder.mkdir(parents=True)
    (folder.parent / "_SUCCESS").touch()
    for number, pair in enumerate([("u", "12"), ("v", "13")]):
        table = pd.DataFrame([pair], columns=["user_id", "item_id"])
        table = table.astype({"item_id": "int64"}) if number and ending == "parquet" else table
        getattr(table, f"to_{ending}")(folder / f"part-{number}.{ending}", index=False)
    cfg.interactions_file = "interactions"
    assert read_source(cfg).interactions.values.tolist() == [["u", "12"], ["v", "13"]]
    (folder / f"part-0.{ending}").unlink()
    (folder / f"part-1.{ending}").unlink()
    with pytest.raises(DataError, match="should be a table or hold the parts of one"):
        read_source(cfg)


def test_names_of_files_mean_nothing_to_the_engine(cfg):
    for name in ("a[1].csv", "*.csv", "o'; DROP TABLE t; --.csv"):
        write(cfg, name, "user_id,item_id\nu,13\n")
        cfg.interactions_file = name
        assert read_source(cfg).interactions.values.tolist() == [["u", "13"]]


@pytest.mark.parametrize(
    ("known", "given", "guess"),
    [
        ("12", "12.0", "a decimal point"),
        ("12", "00012", "leading zeros"),
        ("AB", "ab", "upper and lower case"),
        ("a b", "a\u200bb", "blanks or invisible characters"),
        ("é", "e\u0301", "the Unicode form of letters"),
        ("12", "12.jpg", "a file's ending or folder"),
        ("12", "item-12", "a prefix or suffix"),
    ],
)
def test_ids_that_do_not_match_are_said_with_the_reason(cfg, tmp_path, known, given, guess, caplog):
    write(cfg, "items.csv", f"item_id,image,labels\n{known},a.png,cat\nother,,cat\n")
    write(cfg, "interactions.csv", f"user_id,item_id\nu,{given}\nv,{given}\nv,other\n")
    assert read_pairs(prepared(cfg, tmp_path)) == [["v", "other"]]
    assert "2 of 3 interactions (66.7%) name an item" in caplog.text
    assert f"{given!r} (2 times, nearest known {known!r})" in caplog.text
    assert f"Perhaps the ids differ in {guess}" in caplog.text
    write(cfg, "interactions.csv", f"user_id,item_id\nu,{given}\nv,{given}\n")
    with pytest.raises(
        DataError, match="At least one of 2 interactions should be left, but none is: 2 interactions with"
    ):
        prepared(cfg, tmp_path)


def test_items_that_the_table_lacks_are_said_without_a_guess(cfg, tmp_path, caplog):
    write(cfg, "interactions.csv", "user_id,item_id\nu,12\nu,xyz\n")
    prepared(cfg, tmp_path)
    assert "'xyz' (1 times, none known is near). Perhaps the item table lacks these items" in caplog.text


def test_rows_lost_for_their_number_of_cells_are_said(cfg, tmp_path, caplog):
    write(cfg, "interactions.csv", "user_id,item_id\nu,12\nu\nu,12,3\n")
    write(cfg, "items.csv", "item_id,image,labels\n12,a.png,cat\n13\n")
    prepared(cfg, tmp_path)
    assert "2 interactions with a wrong number of cells, beside 1 interactions that were read" in caplog.text
    assert "items.csv: 1 row(s) end before their last cell; what is missing counts as empty" in caplog.text


def test_a_table_of_which_most_rows_are_lost_is_an_error(cfg, monkeypatch):
    monkeypatch.setattr(text, "MOST_REJECTED", 100)
    write(cfg, "interactions.csv", "user_id,item_id\n" + "u,12,3\n" * 200)
    with pytest.raises(DataError, match="100 rows or more have another number of cells than 2"):
        read_source(cfg)


@pytest.mark.parametrize(
    "cell",
    ["a|b", " b | a |", "['a', 'b']", '["a", "b"]', "['a' 'b']", "('a', 'b')", "['b', None, 'a']", '["\\u0061","b"]'],
)
def test_labels_in_any_notation(cfg, cell):
    write(
        cfg, "items.csv", 'item_id,image,labels\n12,a.png,"' + cell.replace('"', '""') + '"\n13,,[REC]\n14,,[]\n15,,\n'
    )
    assert read_source(cfg).items["labels"].tolist() == [["a", "b"], ["[REC]"], [], None]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (pa.array([["b", "a", None], [], None]), [["a", "b"], [], None]),
        (pa.array([[3, 1], [None], []]), [["1", "3"], None, []]),
        (pa.array([3, None, 4]), [["3"], None, ["4"]]),
        (pa.array([3.0, None, float("nan")]), [["3"], None, None]),
        (pa.array(["a|b", "|", ""]), [["a", "b"], [], None]),
        (pa.nulls(3), [None, None, None]),
    ],
)
def test_labels_of_any_type(cfg, labels, expected):
    columns_of(cfg, item_id=[1, 2, 3], image=["a.png"] * 3, labels=labels)
    assert read_source(cfg).items["labels"].tolist() == expected


def test_a_separator_that_never_occurs_is_said(cfg, caplog):
    write(cfg, "items.csv", 'item_id,image,labels\n12,a.png,"cat, dog"\n13,,cat\n')
    assert read_source(cfg).items["labels"].tolist() == [["cat, dog"], ["cat"]]
    assert "dataset.label_separator='|' occurs in no cell of column 'labels', but ',' in 1 of 2" in caplog.text
    assert "set dataset.label_separator=','" in caplog.text


def test_labels_that_differ_in_case_or_spaces_are_said(cfg, tmp_path, caplog):
    write(cfg, "items.csv", "item_id,image,labels\n12,a.png,Sci-Fi|sci-fi|ab\n13,a.png,a  b|dog\n")
    labels = json.loads((prepared(cfg, tmp_path) / "labels.json").read_text())
    assert labels == ["Sci-Fi", "a  b", "ab", "dog", "sci-fi"]
    assert (
        "2 label(s) differ in case or spaces alone and stay apart: 'Sci-Fi' and 'sci-fi'; 'a  b' and 'ab'."
        in caplog.text
    )


@pytest.mark.parametrize("label", ["$\\frac{$", "$5 & $6", "{a}", "a\nb", "x" * 600, "אבג", "_{", "<b>", "%d"])
def test_any_text_is_a_label_and_no_markup(cfg, tmp_path, label, caplog):
    write(cfg, "items.csv", f'item_id,image,labels\n12,a.png,"{label}"\n')
    folder = prepared(cfg, tmp_path)
    assert json.loads((folder / "labels.json").read_text()) == [label]
    assert (folder / "items_per_label.png").is_file()


def test_images_by_absolute_path_within_their_folder(cfg, tmp_path):
    write(cfg, "items.csv", f"item_id,image,labels\n12,{cfg.images_dir}/a.png,cat\n13,/etc/passwd,cat\n")
    report = json.loads((prepared(cfg, tmp_path) / "report.json").read_text())
    assert report["statistics"]["images"] == 1
    assert report["images"]["refused"] == {"path leaves images_dir": {"count": 1, "examples": ["13"]}}


def test_a_folder_too_many_in_image_paths_is_named(cfg, tmp_path):
    write(cfg, "items.csv", "item_id,image,labels\n12,images/a.png,cat\n")
    with pytest.raises(
        DataError, match=rf"such as 'images/a\.png'; .*a\.png is there: set dataset\.images_dir={tmp_path}\."
    ):
        prepared(cfg, tmp_path)


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("HTTP://Host/A.jpg", "http://Host/A.jpg"),
        ("hTTps://h/a", "https://h/a"),
        ("//h/a", "https://h/a"),
        ("///etc/passwd", None),
        ("a//b", None),
        ("ftp://h/a", None),
    ],
)
def test_addresses_are_told_from_paths(written, address):
    assert web_address(written) == address


def test_too_little_memory_is_one_sentence(cfg, tmp_path):
    rows = "".join(f"user-with-a-long-name-{n * 7919 % 300_000},{12 + n % 2}\n" for n in range(300_000))
    write(cfg, "interactions.csv", "user_id,item_id\n" + rows)
    settings = tiny_config(tmp_path, tmp_path / "outputs", **vars(cfg))
    settings.memory_gb = 0.1
    prepare_dataset(settings)  # spills
    assert not list(tmp_path.rglob(".tables.*"))
