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
    assert built.n_users_per_item.tolist() == [2, 1]
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
