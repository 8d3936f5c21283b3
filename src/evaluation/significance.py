"""Tests of whether two methods differ, and the correction for testing several."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from scipy.stats import t as student_t

from src.evaluation.paired_fold import PairedFold
from src.evaluation.weighted_ap import PresortedScores

ALPHA = 0.05
_PERMUTATIONS_AT_ONCE = 256


@dataclass(frozen=True)
class RandomizationTest:
    """Result of a paired randomisation test.

    Attributes:
        difference: Observed mAP difference, candidate - baseline, mean over folds of the mean over seeds.
        p_value: Two-sided.
        n_permutations: Swaps tried.
        exact: Whether these are all there are.
    """

    difference: float
    p_value: float
    n_permutations: int
    exact: bool


@dataclass(frozen=True)
class TTest:
    """Result of a paired t-test over runs.

    Attributes:
        statistic: t.
        p_value: Two-sided.
        degrees: Degrees of freedom.
        unit: What varies between the values compared: "fold" or "seed".
    """

    statistic: float
    p_value: float
    degrees: int
    unit: str


def paired_randomization_test(
    folds: Sequence[PairedFold], *, rng: np.random.Generator, n_permutations: int = 10_000
) -> RandomizationTest:
    """Test whether two methods rank the test images equally well.

    If they do, it does not matter which of an image's two predictions is called the candidate's. Each permutation swaps
    them for a random half of the image groups, in all seeds and classes alike. Scores of different models have
    different scales, so each is first replaced by its rank within its class, which changes no average precision.

    Where the groups allow no more than ``n_permutations`` swaps, all are tried and the p-value is exact.

    Args:
        folds: Aligned predictions, one entry for each fold.
        rng: Sole source of randomness.
        n_permutations: Random swaps, beside the observed assignment.

    Raises:
        ValueError: ``n_permutations`` < 1 or predictions that no mAP is defined for.

    Source: Smucker, Allan & Carterette (2007); p-value as Phipson & Smyth (2010), never 0.
    """
    if n_permutations < 1:
        raise ValueError(f"Expected n_permutations of at least 1, but got {n_permutations}; 10000 is the default.")
    groups = np.unique(np.concatenate([fold.image_group for fold in folds]))
    exact = len(groups) < n_permutations.bit_length()  # 2 ** n_groups <= n_permutations, without overflow
    swaps = _all_swaps(len(groups)) if exact else _draw_swaps(len(groups), n_permutations, rng)
    pairs = [
        (fold, baseline, candidate)
        for fold in folds
        for baseline, candidate in zip(fold.scores_baseline, fold.scores_candidate, strict=True)
    ]

    def compute(pair: tuple[PairedFold, np.ndarray, np.ndarray]) -> tuple[float, np.ndarray]:
        fold, baseline, candidate = pair
        columns = np.searchsorted(groups, fold.image_group)
        return _swapped_differences(fold.targets, baseline, candidate, swaps, columns)

    difference, permuted = 0.0, np.zeros(len(swaps))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (fold, _, _), (observed, values) in zip(pairs, pool.map(compute, pairs), strict=True):
            share = 1 / (len(folds) * len(fold.scores_baseline))
            difference += share * observed
            permuted += share * values
    extreme = int((np.abs(permuted) >= abs(difference) - 1e-12).sum())  # sums in another order differ in the last digit
    p_value = extreme / len(swaps) if exact else (1 + extreme) / (1 + len(swaps))
    return RandomizationTest(difference, p_value, len(swaps), exact)


def corrected_t_test(differences: Sequence[Sequence[float]], test_train_ratio: float) -> TTest | None:
    """Test whether runs of the candidate beat those of the baseline on average.

    With several folds the unit is the fold, its seeds averaged, since seeds of one fold share all images. Training
    sets of different folds overlap, which correlates them, so the variance is not s^2 / k but
    s^2 (1 / k + n_test / n_train). With one fold the unit is the seed and the test is the plain paired one: it then
    speaks about this split only.

    Args:
        differences: For each fold the differences candidate - baseline, one for each seed.
        test_train_ratio: n_test / n_train of a fold.

    Returns:
        The test, or None with fewer than two runs to compare.

    Source: Nadeau & Bengio (2003), section 3.
    """
    by_fold = len(differences) > 1
    values = np.array([np.mean(seeds) for seeds in differences] if by_fold else differences[0], dtype=float)
    n_runs = len(values)
    if n_runs < 2:
        return None
    variance = values.var(ddof=1) * (1 / n_runs + (test_train_ratio if by_fold else 0.0))
    mean = values.mean()
    if variance <= 1e-30:
        statistic = 0.0 if abs(mean) <= 1e-15 else float(np.sign(mean)) * np.inf
    else:
        statistic = float(mean / np.sqrt(variance))
    p_value = float(2 * student_t.sf(abs(statistic), n_runs - 1))
    return TTest(statistic, p_value, n_runs - 1, "fold" if by_fold else "seed")


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values for testing several hypotheses at once, by Holm's step-down procedure.

    Args:
        p_values: One for each contrast; None where the test could not be computed, which does not count as a test.

    Returns:
        Adjusted p-values in the order given, at most 1: reject where below the level.

    Source: Holm (1979).
    """
    adjusted: list[float | None] = [None] * len(p_values)
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    largest = 0.0
    for rank, (p, index) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        adjusted[index] = largest
    return adjusted


def is_significant(adjusted_randomization_p: float | None, adjusted_t_test_p: float | None) -> bool:
    """Say whether both tests reject: one covers other test images, the other covers other training runs."""
    if adjusted_randomization_p is None or adjusted_t_test_p is None:
        return False
    return adjusted_randomization_p < ALPHA and adjusted_t_test_p < ALPHA


def _swapped_differences(
    targets: np.ndarray, baseline: np.ndarray, candidate: np.ndarray, swaps: np.ndarray, columns: np.ndarray
) -> tuple[float, np.ndarray]:
    """Compute one run pair's mAP difference, observed and under each swap.

    Both methods' ranks are sorted together once, 2 n entries a class; which n of them are the candidate's is a 0/1
    weight, and the others are the baseline's.
    """
    ranks = [rankdata(scores, axis=0) for scores in (candidate, baseline)]
    presorted = PresortedScores(np.concatenate([targets, targets]), np.concatenate(ranks))

    def compute(swapped: np.ndarray) -> np.ndarray:
        of_candidate = np.concatenate([~swapped, swapped], axis=1)
        compute_map = presorted.mean_average_precision
        difference: np.ndarray = compute_map(of_candidate) - compute_map(~of_candidate)
        return difference

    observed = float(compute(np.zeros((1, len(targets)), dtype=bool))[0])
    chunks = np.split(swaps, range(_PERMUTATIONS_AT_ONCE, len(swaps), _PERMUTATIONS_AT_ONCE))
    return observed, np.concatenate([compute(_unpack(chunk)[:, columns]) for chunk in chunks])


def _all_swaps(n_groups: int) -> np.ndarray:
    """Every subset of the groups, packed: (2 ** n_groups, n_bytes) uint8."""
    masks = np.arange(2**n_groups)[:, None] >> np.arange(n_groups) & 1
    return np.packbits(masks.astype(np.uint8), axis=1)


def _draw_swaps(n_groups: int, n_permutations: int, rng: np.random.Generator) -> np.ndarray:
    """Independent fair coins, eight to a byte: (n_permutations, n_bytes) uint8."""
    return rng.integers(256, size=(n_permutations, -(-n_groups // 8)), dtype=np.uint8)


def _unpack(packed: np.ndarray) -> np.ndarray:
    return np.unpackbits(packed, axis=1).astype(bool)
