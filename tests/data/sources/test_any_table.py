"""Tables of any type, dialect and encoding, written by code that shares nothing with ours: all pairs and labels."""

import csv
import gzip
import io
import shutil
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from src.config.datasets import TabularConfig
from src.errors import UserError
from tests.data.raw_formats import clean, read_source

ODD = [
    "007",
    "7",
    "7.0",
    "NA",
    "null",
    "None",
    "é",
    "naïve",
    "a,b",
    "a;b",
    "a\tb",
    'say "so"',
    '"',
    "'",
    "x\ny",
    "x\r\ny",
]
ODD += [
    "$x^2$",
    "{0}",
    "%s",
    "\\",
    "\\N",
    "a\\",
    "-",
    "#1",
    "אבג",
    "日本",
    "😀",
    "y" * 600,
    "a  b",
    "\x1f",
    "1e5",
    "[a",
    "::",
]
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0\x1f")
SEPARATORS = ("|", ";", ",", "/")
TYPES = {
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "uint64": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "int8": (pa.int8(), st.integers(-128, 127)),
    "decimal": (pa.decimal128(25, 2), st.integers(-(10**20), 10**20)),
    "double": (pa.float64(), st.integers(-(2**53) + 1, 2**53 - 1)),
    "float": (pa.float32(), st.integers(-(2**24) + 1, 2**24 - 1)),
    "string": (pa.string(), None),
    "large string": (pa.large_string(), None),
    "dictionary": (pa.dictionary(pa.int16(), pa.string()), None),
    "binary": (pa.binary(), None),
}


@st.composite
def tables(draw):
    """Two tables as lists of cells, how they are stored, and what must come of them."""
    stored = draw(st.sampled_from(["parquet", "parts", "text"]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252"]))
    kind = draw(st.sampled_from(list(TYPES)))
    text = st.sampled_from(ODD) | st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0\x1f"), max_size=5
    )
    if stored == "text" and encoding == "cp1252":
        text = text.filter(lambda one: encodable(one, "cp1252"))
    name = text.map(str.strip).filter(bool)
    ids = name if TYPES[kind][1] is None else TYPES[kind][1].map(str)
    known = draw(st.lists(ids, min_size=1, max_size=12, unique=True))
    pool = [*known, None, *draw(st.lists(ids, max_size=3))]
    pairs = draw(st.lists(st.tuples(name | st.just(""), st.sampled_from(pool)), max_size=30))
    separator = draw(st.sampled_from(SEPARATORS))
    label = name.filter(lambda one: separator not in one and not one.startswith(("[", "(")))
    labels = draw(st.lists(st.lists(label, max_size=3) | st.none(), min_size=len(known), max_size=len(known)))
    how = {
        "stored": stored,
        "encoding": encoding,
        "delimiter": draw(st.sampled_from([",", ";", "\t", "|"])),
        "end": draw(st.sampled_from(["\n", "\r\n", "\r"])),
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        "packed": draw(st.sampled_from(["", ".gz", ".zst"])),
        "kind": kind,
        "separator": separator,
    }
    return known, labels, pairs, how


def encodable(text, encoding):
    try:
        return text.encode(encoding).decode(encoding) == text
    except UnicodeError:
        return False


def write_text(path, header, rows, how):
    rows = [list(row) for row in rows]
    stream = io.StringIO(newline="")
    ends = any("\r" in cell or "\n" in cell for row in rows for cell in row)
    quoting = csv.QUOTE_ALL if ends else how["quoting"]  # csv quotes only the characters of its own line terminator
    writer = csv.writer(stream, delimiter=how["delimiter"], quoting=quoting, lineterminator=how["end"])
    writer.writerows([header, *rows])
    content = stream.getvalue().encode(how["encoding"])
    if how["packed"] == ".gz":
        content = gzip.compress(content)
    if how["packed"] == ".zst":
        content = pa.Codec("zstd").compress(content, asbytes=True)
    path.write_bytes(content)


def column(cells, kind):
    of_type, numbers = TYPES[kind]
    if numbers is None:
        values = [None if cell is None else cell.encode() if kind == "binary" else cell for cell in cells]
    else:
        values = [None if cell is None else Decimal(cell) if kind == "decimal" else int(cell) for cell in cells]
        values = [float(v) if v is not None and kind in ("double", "float") else v for v in values]
    return pa.array(values, of_type)


def write_parquet(path, table, parts):
    if not parts:
        parquet.write_table(table, path)
        return
    path.mkdir()
    (path / "_SUCCESS").touch()
    (path / ".part-0.parquet.crc").write_bytes(b"crc")
    half = len(table) // 2
    for number, part in enumerate((table[:half], table[half:])):
        parquet.write_table(part, path / f"part-{number:05d}.snappy.parquet")


def write(folder, known, labels, pairs, how):
    cfg = TabularConfig(name="any", raw_dir=str(folder), images_dir=str(folder), label_separator=how["separator"])
    if how["stored"] == "text":
        cfg.items_file, cfg.interactions_file = (f"{name}.csv{how['packed']}" for name in ("items", "interactions"))
        cfg.encoding = how["encoding"] if how["encoding"] == "utf-16-be" else None
        cells = ["" if own is None else how["separator"].join(own) or how["separator"] for own in labels]
        rows = zip(known, [""] * len(known), cells, strict=True)
        write_text(folder / cfg.items_file, ["item_id", "image", "labels"], rows, how)
        rows = [(user, "extra", item or "") for user, item in pairs]
        write_text(folder / cfg.interactions_file, ["user_id", "more", "item_id"], rows, how)
        return cfg
    cfg.items_file, cfg.interactions_file = "items.parquet", "interactions.parquet"
    items = {
        "item_id": column(known, how["kind"]),
        "image": pa.nulls(len(known), pa.string()),
        "labels": pa.array(labels, pa.list_(pa.string())),
    }
    write_parquet(folder / "items.parquet", pa.table(items), how["stored"] == "parts")
    users = pa.array([user for user, _ in pairs], pa.string())
    table = pa.table({"user_id": users, "item_id": column([item for _, item in pairs], how["kind"])})
    write_parquet(folder / "interactions.parquet", table, how["stored"] == "parts")
    return cfg


def check(folder, case):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    known, labels, pairs, _ = case
    raw = read_source(write(folder, *case))
    expected = [None if own is None else sorted(set(own)) for own in labels]
    assert raw.items["item_id"].tolist() == known
    assert raw.items["labels"].tolist() == expected
    assert raw.interactions.values.tolist() == [[user, item or ""] for user, item in pairs]
    kept = {(user, item) for user, item in pairs if user and item in known}
    if pairs and not kept:
        with pytest.raises(UserError, match="should be left, but none is"):
            clean(raw)
        return
    found, dropped = clean(raw)
    assert found == sorted(map(list, kept))
    given = [(user, item) for user, item in pairs if user and item]
    assert dropped["interactions_with_an_empty_id"] == len(pairs) - len(given)
    assert dropped["interactions_with_an_unknown_item"] == sum(item not in known for _, item in given)
    assert dropped["interactions_repeated"] == sum(item in known for _, item in given) - len(kept)


ANY = settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)


@pytest.mark.slow
@ANY
@given(tables())
def test_any_table_is_read_exactly(tmp_path, case):
    check(tmp_path / "any", case)


@pytest.mark.slow
@settings(ANY, max_examples=1000)
@given(tables())
def test_a_thousand_tables_are_read_exactly(tmp_path, case):
    check(tmp_path / "any", case)
