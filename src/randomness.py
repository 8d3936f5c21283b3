"""Seeds and shuffles that depend only on names, not on the order of calls."""

import hashlib

import numpy as np


def hash_number(text: str) -> int:
    """A number in [0, 2^64) from ``text``, the same on every machine and in every release."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def derive_seed(seed: int, *names: object) -> int:
    """A seed in [0, 2^63) from ``seed`` and ``names``; different names give independent random numbers."""
    return hash_number("\x1f".join(map(str, (seed, *names)))) >> 1


class ShuffledPasses:
    """An endless sequence of shuffled passes over some values, each with its own seed."""

    def __init__(self, values: np.ndarray, seed: int) -> None:
        """Draw from ``values`` [n], n > 0."""
        self._values, self._seed = values, seed
        self._passes: dict[int, np.ndarray] = {}

    def take(self, start: int, count: int) -> np.ndarray:
        """The values at positions ``start`` .. ``start + count - 1``, [count]."""
        n = len(self._values)
        numbers = range(start // n, (start + count - 1) // n + 1)
        self._passes = {number: self._shuffled(number) for number in numbers}
        joined = np.concatenate([self._passes[number] for number in numbers])
        return joined[start - numbers[0] * n :][:count]

    def _shuffled(self, number: int) -> np.ndarray:
        if number in self._passes:
            return self._passes[number]
        return np.random.default_rng(derive_seed(self._seed, number)).permutation(self._values)
