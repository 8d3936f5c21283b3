import numpy as np
import pytest
from PIL import Image

from src.data.images.duplicates import MAX_DISTANCE, describe_lookalikes, difference_hash, group_lookalikes
from tests.pipeline import slow_but


def planted(seed, n=60):
    """Random hashes, and for some of them chains of near ones, repetitions, and ones just too far."""
    rng = np.random.default_rng(seed)
    hashes = [int(value) for value in rng.integers(0, 2**64, n, dtype=np.uint64, endpoint=False)]
    for value in hashes[: n // 3]:
        for n_bits in rng.integers(0, MAX_DISTANCE + 2, size=3):
            for bit in rng.choice(64, n_bits, replace=False):
                value ^= 1 << int(bit)
            hashes.append(value)
    hashes += [0, 1, 2**64 - 1, 2**64 - 2]
    return rng.permutation(np.array(hashes, dtype=np.uint64))


def partition(groups):
    return {frozenset(np.flatnonzero(groups == group).tolist()) for group in set(groups.tolist())}


def by_brute_force(hashes):
    group = list(range(len(hashes)))
    for i, first in enumerate(hashes.tolist()):
        for j, second in enumerate(hashes[:i].tolist()):
            if (first ^ second).bit_count() <= MAX_DISTANCE:
                group = [group[j] if own == group[i] else own for own in group]
    return partition(np.array(group))


@pytest.mark.parametrize("seed", range(8))
def test_groups_against_brute_force(seed):
    hashes = planted(seed)
    groups = group_lookalikes(hashes)
    assert partition(groups) == by_brute_force(hashes)
    assert sorted(set(groups.tolist())) == list(range(groups.max() + 1))


@pytest.mark.parametrize("bits", slow_but(range(1, 6), 3))
def test_three_bits_anywhere_are_near_and_four_are_not(bits):
    rng = np.random.default_rng(bits)
    for _ in range(100):
        value = int(rng.integers(0, 2**63))
        other = value
        for bit in rng.choice(64, bits, replace=False):
            other ^= 1 << int(bit)
        groups = group_lookalikes(np.array([value, other], dtype=np.uint64))
        assert (groups[0] == groups[1]) == (bits <= 3)


def test_few_hashes():
    assert group_lookalikes(np.array([], dtype=np.uint64)).tolist() == []
    assert group_lookalikes(np.array([5], dtype=np.uint64)).tolist() == [0]
    assert group_lookalikes(np.array([5, 5, 2**64 - 1], dtype=np.uint64)).tolist() == [0, 0, 1]


def test_description_by_hand():
    names = ["a", "b", "c", "d", "e", "f"]
    hashes = np.array([0, 0xFF00, 0b1, 0xFF01, 2**60 - 1, 0b11111], dtype=np.uint64)
    # a - c (1 bit), b - d (1 bit), f - c (4 bits) and f - a (5 bits) apart
    assert describe_lookalikes(names, hashes, 5) == {"images": 4, "groups": 2, "examples": [["a", "c"], ["b", "d"]]}
    assert describe_lookalikes(names, hashes, 1)["examples"] == [["a", "c"]]
    assert describe_lookalikes([], np.array([], dtype=np.uint64), 5) == {"images": 0, "groups": 0, "examples": []}


def test_hash_by_hand():
    columns = np.arange(9, dtype=np.uint8) * 20
    assert difference_hash(Image.fromarray(np.tile(columns, (8, 1)))) == 2**64 - 1
    assert difference_hash(Image.fromarray(np.tile(columns[::-1], (8, 1)))) == 0
    rows = np.tile(columns, (8, 1))
    rows[1:] = 7  # only the first of 8 rows grows brighter, which is the highest byte
    assert difference_hash(Image.fromarray(rows)) == 0xFF << 56


def photo(seed):
    """Smooth blobs and some grain."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 5, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((200, 240), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray((pixels + rng.integers(-4, 5, pixels.shape)).clip(0, 255).astype(np.uint8))


def test_recompressed_and_resized_images_look_alike(tmp_path):
    names, hashes = [], []
    for seed in range(12):
        image = photo(seed)
        image.save(tmp_path / "90.jpg", quality=90)
        image.save(tmp_path / "40.jpg", quality=40)
        image.resize((100, 120)).save(tmp_path / "half.png")
        image.convert("L").save(tmp_path / "grey.png")
        for path in ("90.jpg", "40.jpg", "half.png", "grey.png"):
            names.append(f"{seed}-{path}")
            with Image.open(tmp_path / path) as saved:
                hashes.append(difference_hash(saved))
    found = describe_lookalikes(names, np.array(hashes, dtype=np.uint64), 20)
    assert found["groups"] == 12
    assert found["images"] >= 44  # a bit or two may flip where neighbours are nearly as bright
    for group in found["examples"]:
        assert len({name.partition("-")[0] for name in group}) == 1
