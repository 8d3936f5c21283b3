"""Interactions as whole numbers: the same whatever piece of them is in memory at a time."""

from collections import Counter, defaultdict

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from src.data.preparation import interactions
from src.data.preparation.interactions import write_interactions
from src.data.tables.engine import open_engine

ITEMS = sorted(["a", "b", "é", "10", "9"])


def write(table, least, folder):
    folder.mkdir()
    with open_engine([], folder, 0.2) as engine:
        cleaned = write_interactions(engine.keep(pa.table(table), "given"), ITEMS, least, engine, folder)
    names = ("interactions.parquet", "users.parquet")
    return cleaned, [pd.read_parquet(folder / name) for name in names], [(folder / name).read_bytes() for name in names]


@pytest.mark.parametrize("least", [1, 3])
def test_pieces_of_any_size_against_counting(least, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    users = rng.choice(["u", "v", "", "w w", "\U0001f600", "\uffff", *map(str, range(30))], 400).tolist()
    items = rng.choice([*ITEMS, "unknown", ""], 400).tolist()
    own = defaultdict(set)
    for user, item in zip(users, items, strict=True):
        if user and item in ITEMS:
            own[user].add(item)
    kept = {user: sorted(own[user]) for user in sorted(own) if len(own[user]) >= least}
    pairs = [[place, ITEMS.index(item)] for place, (_, known) in enumerate(kept.items()) for item in known]
    found = []
    for rows in (1, 7, 100, 1 << 20):
        monkeypatch.setattr(interactions, "ROWS", rows)
        cleaned, (table, names), _ = write({"user_id": users, "item_id": items}, least, tmp_path / str(rows))
        found.append(cleaned.dropped)
        assert table.values.tolist() == pairs
        assert names["user_id"].tolist() == list(kept)
        assert cleaned.n_users == len(kept)
        assert cleaned.users_of_item.tolist() == [Counter(item for _, item in pairs)[n] for n in range(len(ITEMS))]
    assert all(dropped == found[0] for dropped in found)
    empty = sum(not user or not item for user, item in zip(users, items, strict=True))
    unknown = sum(user != "" and item == "unknown" for user, item in zip(users, items, strict=True))
    assert found[0]["interactions_with_an_empty_id"] == empty
    assert found[0]["interactions_with_an_unknown_item"] == unknown
    assert found[0]["interactions_repeated"] == 400 - empty - unknown - sum(map(len, own.values()))
    assert found[0]["users_with_too_few_items"] == len(own) - len(kept)


def test_order_of_rows_and_memory_change_no_byte(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    users = np.char.add("user with a long name ", rng.integers(0, 50_000, 200_000).astype(str))
    items = rng.choice(ITEMS, 200_000)
    order = rng.permutation(200_000)
    monkeypatch.setattr(interactions, "ROWS", 10_000)
    first = write({"user_id": users, "item_id": items}, 1, tmp_path / "first")[2]
    assert write({"user_id": users[order], "item_id": items[order]}, 1, tmp_path / "again")[2] == first


def test_pages_have_checksums(tmp_path):
    write({"user_id": ["u"], "item_id": ["a"]}, 1, tmp_path / "x")
    path = tmp_path / "x" / "interactions.parquet"
    content = bytearray(path.read_bytes())
    column = parquet.read_metadata(path).row_group(0).column(0)
    content[(column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size - 1] ^= 1
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"CRC|checksum"):
        parquet.read_table(path, page_checksum_verification=True)
