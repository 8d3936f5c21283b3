"""Confidence intervals of mAP and of mAP differences by resampling image groups within folds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from scipy.stats import norm

from src.evaluation.inputs.aligned import PairedFold
from src.evaluation.statistics.weighted_ap import PresortedScores

_REPLICATES_AT_ONCE = 512
_ALPHA, _POWER = 0.05, 0.80
LEVEL = 0.95
"""Confidence level of all intervals."""


@dataclass(frozen=True)
class Estimate:
    """A value on the data themselves, and its confidence interval from ``low`` to ``high``; mAP units, 0 to 1.

    Attributes:
        standard_error: Standard deviation of the bootstrap replicates.
        smallest_detectable: Minimum detectable difference of a two-sided test at level .05 with 80 % power.
        n_undefined: Replicates left out because no label occurred in them.
    """

    value: float
    low: float
    high: float
    standard_error: float
    smallest_detectable: float
    n_undefined: int


def paired_bootstrap(folds: Sequence[PairedFold], *, rng: np.random.Generator, n_resamples: int = 10_000) -> Estimate:
    """Estimate how much a candidate improves mAP over a baseline: the mean over folds of the mean over seeds.

    Image groups are drawn with replacement within each fold. Both methods and all seeds are scored on the same draws,
    so variation they share cancels. The interval is conditional on the trained models: it covers other test images,
    not other training runs.

    Returns:
        Mean difference candidate - baseline and its interval, see ``estimate``.

    Raises:
        ValueError: ``n_resamples`` < 2 or predictions that no mAP is defined for.

    Source: Efron & Tibshirani (1993), ch. 13.
    """
    differences = []
    for fold, seed in zip(folds, rng.integers(2**63, size=len(folds)), strict=True):
        candidate, baseline = (
            np.mean([resample_map(fold.targets, s, fold.image_group, n_resamples, int(seed)) for s in scores], axis=0)
            for scores in (fold.scores_candidate, fold.scores_baseline)
        )
        differences.append(candidate - baseline)
    return estimate(np.mean(differences, axis=0))


def resample_map(
    targets: np.ndarray, scores: np.ndarray, image_group: np.ndarray, n_resamples: int, seed: int | tuple[int, ...]
) -> np.ndarray:
    """Compute mAP of one run on its fold's test set, and on resampled image groups.

    Args:
        targets: Multi-hot labels, (n_items, n_classes).
        scores: Same shape, finite.
        image_group: (n_items,) the unit that is drawn.
        n_resamples: Bootstrap replicates.
        seed: Defines the draws. Results of equal seeds may be subtracted and averaged: they share their draws.

    Returns:
        (1 + n_resamples,): the observed value, then the replicates; NaN where one holds no positive label.
    """
    if n_resamples < 2:
        raise ValueError(f"Expected n_resamples of at least 2, but got {n_resamples}; 10000 is the default.")
    compute = PresortedScores(targets, scores).mean_average_precision
    observed = [np.ones((1, len(targets)), dtype=np.int64)]
    draws = draw_group_counts(image_group, n_resamples, np.random.default_rng(seed))
    return np.concatenate([compute(counts) for counts in chain(observed, draws)])


def estimate(resampled: np.ndarray, lowest: float = -1.0) -> Estimate:
    """Summarise a statistic by the percentile interval of its replicates, shifted so that their mean is the estimate.

    Repeated images raise mAP in every replicate, most for rare classes and middle ranks, and so also differences of
    mAP; the estimate has no such bias. Intervals that correct for it, such as BCa, have too low coverage:
    docs/method.md.

    ``resampled`` has the observed value, then its replicates. The interval ends at ``lowest`` (-1 for a difference, 0
    for mAP) and at 1.

    Raises:
        ValueError: Hardly any replicate is defined.
    """
    observed, replicates = float(resampled[0]), resampled[1:]
    defined = replicates[np.isfinite(replicates)]
    if len(defined) < 2 or not np.isfinite(observed):
        raise ValueError(
            f"Expected positive labels in the test set, but only {len(defined)} of {len(replicates)} "
            "bootstrap replicates have any; evaluate more folds or a dataset with more labelled test items."
        )
    tail = (1 - LEVEL) / 2
    limits = np.quantile(defined, [tail, 1 - tail]) - defined.mean() + observed
    low, high = np.clip(limits, lowest, 1.0)
    error = float(defined.std(ddof=1))
    detectable = float(norm.ppf(1 - _ALPHA / 2) + norm.ppf(_POWER)) * error
    return Estimate(observed, float(low), float(high), error, detectable, len(replicates) - len(defined))


def draw_group_counts(image_group: np.ndarray, n_resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Draw as many image groups as there are, with replacement; yield how often each occurs, some draws at once."""
    group = np.unique(image_group, return_inverse=True)[1]
    n_groups = group.max() + 1
    for start in range(0, n_resamples, _REPLICATES_AT_ONCE):
        size = min(_REPLICATES_AT_ONCE, n_resamples - start)
        drawn = rng.integers(n_groups, size=(size, n_groups)) + n_groups * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * n_groups).reshape(size, n_groups)
        yield counts[:, group]
