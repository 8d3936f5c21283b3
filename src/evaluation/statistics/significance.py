"""Tests of whether two methods differ or are equivalent, and the correction for testing several."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata
from scipy.stats import t as student_t

from src.evaluation.inputs.aligned import PairedFold
from src.evaluation.statistics.bootstrap import Estimate
from src.evaluation.statistics.weighted_ap import PresortedScores
from src.machine import n_cores

ALPHA = 0.05
MARGIN = 0.02
"""Largest difference that counts as none, as share of the baseline's mAP."""

_PERMUTATIONS_AT_ONCE = 256


@dataclass(frozen=True)
class TTest:
    """Result of a two-sided paired t-test over runs; ``unit`` is what they differ in, "fold" or "seed"."""

    statistic: float
    p_value: float
    degrees: int
    unit: str
    standard_error: float


@dataclass(frozen=True)
class Equivalence:
    """Result of two one-sided tests, over test images and over runs; the larger p-value of the two counts.

    Attributes:
        p_value: Of the hypothesis that the difference is at least ``MARGIN``; None where one run allows no t-test.
        smallest_margin: The least margin at which the tests would reject at level .05, as share of the baseline's mAP.
    """

    p_value: float | None
    smallest_margin: float | None


def paired_randomization_test(
    folds: Sequence[PairedFold], *, rng: np.random.Generator, n_permutations: int = 10_000
) -> float:
    """Test whether two methods rank the test images equally well.

    Under the null hypothesis, an image's two predictions are exchangeable. Each permutation swaps them for a random
    half of the image groups, in all seeds and classes. Scores of different models have different scales, so each is
    first replaced by its rank within its class, which changes no average precision. Where the groups allow no more
    than ``n_permutations`` swaps, all are tried and the p-value is exact.

    Returns:
        The two-sided p-value of the mAP difference, mean over folds of the mean over seeds.

    Raises:
        ValueError: ``n_permutations``, beside the observed assignment, < 1, or predictions without a defined mAP.

    Source: Smucker, Allan & Carterette (2007); p-value as Phipson & Smyth (2010), never 0.
    """
    if n_permutations < 1:
        raise ValueError(f"Expected n_permutations of at least 1, but got {n_permutations}; 10000 is the default.")
    groups = np.unique(np.concatenate([fold.image_group for fold in folds]))
    # Swaps are kept packed, eight groups to a byte; the first row is the observed assignment.
    if len(groups) < n_permutations.bit_length():  # 2 ** n_groups <= n_permutations, without overflow
        swaps = np.packbits(np.arange(2 ** len(groups))[:, None] >> np.arange(len(groups)) & 1, axis=1)
    else:
        coins = rng.integers(256, size=(n_permutations, -(-len(groups) // 8)), dtype=np.uint8)
        swaps = np.pad(coins, ((1, 0), (0, 0)))

    def compute(job: tuple[PairedFold, int]) -> np.ndarray:
        fold, seed = job
        pair = fold.scores_baseline[seed], fold.scores_candidate[seed]
        return _swapped_differences(fold.targets, *pair, swaps, np.searchsorted(groups, fold.image_group))

    with ThreadPoolExecutor(n_cores()) as pool:
        jobs = [(fold, seed) for fold in folds for seed in range(len(fold.scores_baseline))]
        of_seeds = pool.map(compute, jobs)
        of_folds = [np.mean([next(of_seeds) for _ in fold.scores_baseline], axis=0) for fold in folds]
    differences = np.mean(of_folds, axis=0)
    extreme = np.abs(differences) >= abs(differences[0]) - 1e-12  # the order of a sum changes its last digit
    return float(extreme.mean())


def corrected_t_test(differences: Sequence[Sequence[float]], test_train_ratio: float) -> TTest | None:
    """Test whether runs of the candidate beat those of the baseline on average.

    With several folds the unit is the fold, its seeds averaged, since seeds of one fold share all images. Training
    sets of different folds overlap, which correlates them, so the variance is not s^2 / k but
    s^2 (1 / k + n_test / n_train). With one fold the unit is the seed, and the plain paired test holds for this split
    only.

    ``differences`` (candidate - baseline) has a list for each fold, with one value a seed; ``test_train_ratio`` is
    n_test / n_train. The result is None with fewer than two runs to compare.

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
    return TTest(statistic, p_value, n_runs - 1, "fold" if by_fold else "seed", float(np.sqrt(variance)))


def equivalence(difference: Estimate, baseline: float, t_test: TTest | None) -> Equivalence:
    """Test whether a difference in mAP is smaller than ``MARGIN`` times the baseline's mAP, in both directions.

    Over test images the difference is normal with the bootstrap's standard error; over runs it has Student's t
    distribution with the standard error of ``t_test``. Both must reject, which keeps the level.

    Source: Schuirmann (1987); Berger & Hsu (1996), section 2.
    """
    if t_test is None:
        return Equivalence(None, None)
    size, margin = abs(difference.value), MARGIN * baseline
    errors = np.array([difference.standard_error, t_test.standard_error])
    nearer = (margin - size) / np.maximum(errors, 1e-15)  # the other side's p-value is smaller
    p_values = norm.sf(nearer[0]), student_t.sf(nearer[1], t_test.degrees)
    reach = np.array([norm.ppf(1 - ALPHA), student_t.ppf(1 - ALPHA, t_test.degrees)]) * errors
    return Equivalence(float(max(p_values)), float((size + reach.max()) / baseline))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values for testing several hypotheses at once; None, where a test could not be computed, is none.

    Source: Holm (1979), step-down procedure.
    """
    adjusted: list[float | None] = [None] * len(p_values)
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    largest = 0.0
    for rank, (p, index) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        adjusted[index] = largest
    return adjusted


def verdict(adjusted_randomization_p: float | None, adjusted_t_test_p: float | None) -> str:
    """Whether both tests reject: one covers other test images, the other covers other training runs."""
    if adjusted_randomization_p is None or adjusted_t_test_p is None:
        return "one run"
    return "yes" if max(adjusted_randomization_p, adjusted_t_test_p) < ALPHA else "no"


def _swapped_differences(
    targets: np.ndarray, baseline: np.ndarray, candidate: np.ndarray, swaps: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """One run pair's mAP difference under each swap, (n_swaps,).

    Both methods' ranks are sorted together once, 2 n entries a class. A 0/1 weight says which n entries are the
    candidate's; the others are the baseline's.
    """
    ranks = [rankdata(scores, axis=0) for scores in (candidate, baseline)]
    compute_map = PresortedScores(np.concatenate([targets, targets]), np.concatenate(ranks)).mean_average_precision
    differences = []
    for start in range(0, len(swaps), _PERMUTATIONS_AT_ONCE):
        swapped = np.unpackbits(swaps[start : start + _PERMUTATIONS_AT_ONCE], axis=1).astype(bool)[:, columns]
        of_candidate = np.concatenate([~swapped, swapped], axis=1)
        differences.append(compute_map(of_candidate) - compute_map(~of_candidate))
    return np.concatenate(differences)
