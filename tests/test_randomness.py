import numpy as np

from src.randomness import ShuffledPasses, derive_seed


def test_a_stream_is_shuffled_passes_wherever_it_is_read():
    stream = ShuffledPasses(np.arange(10, 15), seed=1)
    whole = stream.take(0, 20)
    assert [sorted(whole[start : start + 5]) for start in range(0, 20, 5)] == [list(range(10, 15))] * 4
    assert whole[:5].tolist() != whole[5:10].tolist()
    assert ShuffledPasses(np.arange(10, 15), seed=1).take(7, 9).tolist() == whole[7:16].tolist()


def test_a_stream_of_one_index_fills_a_batch():
    assert ShuffledPasses(np.array([4]), seed=0).take(3, 3).tolist() == [4, 4, 4]


def test_seeds_depend_on_seed_and_names():
    assert derive_seed(0, "a", 1) == derive_seed(0, "a", 1)
    seeds = {derive_seed(seed, name, step) for seed in range(3) for name in ("a", "b") for step in range(3)}
    assert len(seeds) == 18
    assert all(0 <= seed < 2**63 for seed in seeds)
