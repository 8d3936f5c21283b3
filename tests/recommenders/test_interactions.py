import numpy as np
import pandas as pd
import pytest

from src.errors import DataError
from src.recommenders.interactions import build_user_item, count_users, hold_out, rows_of
from tests.recommenders.planted import block_matrix


def pairs(*rows):
    return pd.DataFrame(rows, columns=["user_idx", "item_idx"], dtype=np.int32)


def test_order_and_repetition_of_rows_do_not_matter():
    table, names = pairs((5, 3), (2, 1), (5, 1), (5, 3)), np.array(["w", "x", "never", "y"])
    built = build_user_item(table, names)
    assert built.item_id.tolist() == ["x", "y"]
    assert built.matrix.toarray().tolist() == [[1, 0], [1, 1]]
    assert count_users(built.matrix).tolist() == [2, 1]
    again = build_user_item(table.sample(frac=1, random_state=0), names)
    assert (again.matrix != built.matrix).nnz == 0


def test_without_interactions_the_error_names_the_way_on():
    with pytest.raises(DataError, match="method=image_only, which needs none"):
        build_user_item(pairs(), np.array(["x"]))


def test_hold_out_splits_the_interactions():
    matrix = block_matrix()
    train, test = hold_out(matrix, 0.2, np.random.default_rng(0))
    assert ((train + test) != matrix).nnz == 0
    assert train.multiply(test).nnz == 0
    assert test.nnz == int(np.ceil(0.2 * matrix.nnz))
    again, _ = hold_out(matrix, 0.2, np.random.default_rng(0))
    other, _ = hold_out(matrix, 0.2, np.random.default_rng(1))
    assert (again != train).nnz == 0
    assert (other != train).nnz > 0


def test_rows_of_users_in_any_order():
    matrix = block_matrix(n_users=20)
    users = np.array([7, 3, 3, 19])
    items, offsets = rows_of(matrix, users)
    for position, user in enumerate(users):
        assert items[offsets[position] : offsets[position + 1]].tolist() == matrix[user].indices.tolist()
    assert count_users(matrix).sum() == matrix.nnz


def test_what_chooses_settings_is_reported_by_no_fold_and_reports_move_from_fold_to_fold():
    rng = np.random.default_rng(0)
    pairs = {"user_idx": rng.integers(0, 400, 9000), "item_idx": rng.integers(0, 200, 9000)}
    table = pd.DataFrame(pairs, dtype=np.int32)
    whole = build_user_item(table, np.arange(200).astype(str))
    splits = [whole.split(fold, 0.2) for fold in range(6)]
    for rest, chosen, reported in splits:
        assert ((rest + chosen + reported) != whole.matrix).nnz == 0
        assert (chosen != splits[0][1]).nnz == 0
        assert reported.nnz / whole.matrix.nnz == pytest.approx(0.2, abs=0.02)
        assert chosen.nnz / whole.matrix.nnz == pytest.approx(0.08, abs=0.02)
    overlap = [splits[0][2].multiply(other[2]).nnz / whole.matrix.nnz for other in splits[1:]]
    assert overlap[0] < 0.08
    assert overlap[1:] == [0, 0, 0, 0]


def test_an_interaction_keeps_its_place_whatever_other_items_there_are():
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"user_idx": rng.integers(0, 50, 900), "item_idx": rng.integers(0, 40, 900)}, dtype=np.int32)
    names = np.array([f"i{index}" for index in range(40)])
    whole, part = build_user_item(table, names), build_user_item(table[table["item_idx"] % 3 > 0], names)
    expected = whole.matrix[:, np.arange(40) % 3 > 0].nnz
    assert part.matrix.nnz == expected == len(part.place)
    assert set(part.place) < set(whole.place)
