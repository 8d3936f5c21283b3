import contextlib
import json

import numpy as np
import pandas as pd
import pytest

from src.artifacts import ItemProbabilities, ItemVectors, Predictions
from src.errors import ArtifactError
from src.files import atomic_path, load_json, load_table, save_json, save_table


def vectors(**changes):
    arrays = {
        "item_id": np.array(["a", "b"]),
        "vectors": np.ones((2, 3), np.float32),
        "bias": np.zeros(2, np.float32),
        "n_users": np.array([1, 2]),
    }
    return ItemVectors(**{**arrays, **changes})


def test_arrays_survive_save_and_load(tmp_path):
    vectors().save(tmp_path / "v.npz")
    loaded = ItemVectors.load(tmp_path / "v.npz")
    assert loaded.item_id.tolist() == ["a", "b"]
    assert loaded.vectors.dtype == np.float32


def test_the_same_arrays_give_the_same_bytes(tmp_path):
    vectors().save(tmp_path / "1.npz")
    vectors().save(tmp_path / "2.npz")
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vectors": np.full((2, 3), np.nan, np.float32)}, "vectors holds NaN or infinite values"),
        ({"vectors": np.ones((3, 3), np.float32)}, "vectors should have 2 rows, one for each item, but has 3"),
        ({"vectors": np.ones(2, np.float32)}, "vectors should be"),
        ({"item_id": np.array(["a", "a"])}, "the same id more than once"),
        ({"item_id": np.array([1, 2])}, "should be a 1-d array of strings"),
    ],
)
def test_vectors_are_checked(changes, message):
    with pytest.raises(ArtifactError, match=message):
        vectors(**changes)


def test_probabilities_and_predictions_are_checked():
    item_id, labels = np.array(["a"]), np.array(["x", "y"])
    with pytest.raises(ArtifactError, match=r"probs should have a column for each of its labels, .* but is \(1, 3\)"):
        ItemProbabilities(item_id, labels, np.zeros((1, 3)), np.zeros(1))
    with pytest.raises(ArtifactError, match="targets should have a column for each of its labels"):
        Predictions(item_id, labels, np.zeros((1, 2)), np.zeros((1, 3), np.uint8), item_id)


def test_a_damaged_or_foreign_file_is_named(tmp_path):
    path = tmp_path / "v.npz"
    with pytest.raises(ArtifactError, match="does not exist"):
        ItemVectors.load(path)
    vectors().save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ArtifactError, match=r"v\.npz cannot be read"):
        ItemVectors.load(path)
    np.savez(path, other=np.zeros(1))
    with pytest.raises(ArtifactError, match="should hold the arrays"):
        ItemVectors.load(path)


def test_pickled_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "v.npz", item_id=np.array([{}], dtype=object), vectors=1, bias=1, n_users=1)
    with pytest.raises(ArtifactError, match="cannot be read"):
        ItemVectors.load(tmp_path / "v.npz")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file.json"
    save_json(path, {"a": 1})

    def write_half():
        with atomic_path(path) as temporary:
            temporary.write_text('{"a":')
            raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_half()
    assert load_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.json"]


def test_json_without_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        save_json(tmp_path / "m.json", {"mAP": float("nan")})
    assert not list(tmp_path.iterdir())
    (tmp_path / "m.json").write_text("{")
    with pytest.raises(ArtifactError, match="delete it and run its stage again"):
        load_json(tmp_path / "m.json")


def test_table_columns_are_checked(tmp_path):
    save_table(tmp_path / "t.parquet", pd.DataFrame({"a": [1]}))
    with pytest.raises(ArtifactError, match=r"should have the columns \['b'\], but has \['a'\]"):
        load_table(tmp_path / "t.parquet", ("b",))
    assert json.loads(load_table(tmp_path / "t.parquet", ("a",)).to_json()) == {"a": {"0": 1}}


def flipped(content, place):
    bit = 1 << place % 8
    return content[: place // 8] + bytes([content[place // 8] ^ bit]) + content[place // 8 + 1 :]


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_no_bit_changes_unnoticed(tmp_path, kind):
    table = pd.DataFrame({"user_id": [f"u{n % 40}" for n in range(300)], "item_id": [f"i{n}" for n in range(300)]})
    path, harmless = tmp_path / f"file.{kind}", 0
    if kind == "npz":
        vectors().save(path)
    else:
        save_table(path, table)

    def read():
        if kind == "npz":
            return [value.tobytes() for value in vars(ItemVectors.load(path)).values()]
        return load_table(path, ("user_id", "item_id")).to_csv()

    whole, expected = path.read_bytes(), read()
    for place in np.random.default_rng(0).permutation(8 * len(whole))[:400]:
        path.write_bytes(flipped(whole, int(place)))
        with contextlib.suppress(ArtifactError):
            assert read() == expected
            harmless += 1
    assert harmless < 300
