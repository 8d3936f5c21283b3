"""Confidence intervals of mAP and of mAP differences by resampling image groups within folds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from src.evaluation.bca import bca_interval, centred_interval
from src.evaluation.paired_fold import PairedFold
from src.evaluation.weighted_ap import PresortedScores

_REPLICATES_AT_ONCE = 512
_ALPHA, _POWER = 0.05, 0.80


@dataclass(frozen=True)
class Resampled:
    """A statistic, its bootstrap replicates and its leave-one-group-out values.

    Attributes:
        observed: Value on the data themselves.
        replicates: (n_resamples,); NaN where a replicate holds no positive label at all.
        jackknife: For each fold (n_groups,): the fold's value without that image group.
    """

    observed: float
    replicates: np.ndarray
    jackknife: tuple[np.ndarray, ...]

    def minus(self, other: "Resampled") -> "Resampled":
        """Subtract another statistic of the same draws."""
        pairs = zip(self.jackknife, other.jackknife, strict=True)
        return Resampled(
            self.observed - other.observed, self.replicates - other.replicates, tuple(a - b for a, b in pairs)
        )


@dataclass(frozen=True)
class Estimate:
    """A value with what resampling says about it; mAP units, 0 to 1.

    Attributes:
        value: The statistic on the data themselves.
        low: Lower end of the confidence interval.
        high: Upper end.
        standard_error: Standard deviation of the bootstrap replicates.
        smallest_detectable: Difference that a two-sided test at level .05 finds with 80 % power, given this error.
        n_undefined: Replicates left out because no label occurred in them.
    """

    value: float
    low: float
    high: float
    standard_error: float
    smallest_detectable: float
    n_undefined: int


def paired_bootstrap(
    folds: Sequence[PairedFold],
    *,
    rng: np.random.Generator,
    n_resamples: int = 10_000,
    confidence_level: float = 0.95,
) -> Estimate:
    """Estimate how much a candidate improves mAP over a baseline: the mean over folds of the mean over seeds.

    Image groups are drawn with replacement within each fold. Both methods and all seeds are scored on the same draws,
    so variation they share cancels. The interval is conditional on the trained models: it says what other test images
    would change, not what other training runs would.

    Args:
        folds: Aligned predictions, one entry for each fold.
        rng: Sole source of randomness.
        n_resamples: Bootstrap replicates.
        confidence_level: Coverage of the interval.

    Returns:
        Mean difference candidate - baseline and its BCa interval.

    Raises:
        ValueError: ``n_resamples`` < 2 or predictions that no mAP is defined for.

    Source: Efron & Tibshirani (1993), ch. 13 and 14.
    """
    differences = []
    for fold, seed in zip(folds, rng.integers(2**63, size=len(folds)), strict=True):
        candidates, baselines = (
            mean_over_seeds([resample_map(fold.targets, s, fold.image_group, n_resamples, int(seed)) for s in scores])
            for scores in (fold.scores_candidate, fold.scores_baseline)
        )
        differences.append(candidates.minus(baselines))
    return estimate_difference(mean_over_folds(differences), confidence_level)


def resample_map(
    targets: np.ndarray, scores: np.ndarray, image_group: np.ndarray, n_resamples: int, seed: int | tuple[int, ...]
) -> Resampled:
    """Compute mAP of one run on its fold's test set, on resampled image groups and without each group.

    Args:
        targets: Multi-hot labels, (n_items, n_classes).
        scores: Same shape, finite.
        image_group: (n_items,) the unit that is drawn.
        n_resamples: Bootstrap replicates.
        seed: Defines the draws: give all runs of a fold the same, so that they share them.
    """
    if n_resamples < 2:
        raise ValueError(f"Expected n_resamples of at least 2, but got {n_resamples}; 10000 is the default.")
    presorted = PresortedScores(targets, scores)
    compute = presorted.mean_average_precision
    observed = compute(np.ones((1, len(targets)), dtype=np.int64))[0]
    draws = draw_group_counts(image_group, n_resamples, np.random.default_rng(seed))
    replicates = np.concatenate([compute(counts) for counts in draws])
    jackknife = np.concatenate([compute(kept) for kept in _leave_one_group_out(image_group)])
    return Resampled(float(observed), replicates, (jackknife,))


def mean_over_seeds(runs: Sequence[Resampled]) -> Resampled:
    """Average statistics of one fold that share their draws."""
    jackknife = tuple(np.mean(values, axis=0) for values in zip(*(run.jackknife for run in runs), strict=True))
    return Resampled(
        float(np.mean([run.observed for run in runs])), np.mean([run.replicates for run in runs], axis=0), jackknife
    )


def mean_over_folds(folds: Sequence[Resampled]) -> Resampled:
    """Average statistics of different folds, whose test sets were drawn independently."""
    return Resampled(
        float(np.mean([fold.observed for fold in folds])),
        np.mean([fold.replicates for fold in folds], axis=0),
        tuple(values for fold in folds for values in fold.jackknife),
    )


def estimate_difference(resampled: Resampled, confidence_level: float) -> Estimate:
    """Summarise a difference by its BCa interval, which corrects bias and skewness to second order."""
    defined = _defined(resampled)
    low, high = bca_interval(resampled.observed, defined, resampled.jackknife, confidence_level)
    return _estimate(resampled, defined, low, high)


def estimate_value(resampled: Resampled, confidence_level: float) -> Estimate:
    """Summarise the mAP of one method by the bootstrap interval centred on the estimate.

    Repeated images lift mAP in every replicate, rare classes most, so that often nearly all replicates exceed the
    observed value. BCa would read this as bias of the estimate and leave the estimate outside its own interval. A
    difference of two methods cancels most of the lift.
    """
    defined = _defined(resampled)
    low, high = centred_interval(resampled.observed, defined, confidence_level)
    return _estimate(resampled, defined, max(low, 0.0), min(high, 1.0))


def draw_group_counts(image_group: np.ndarray, n_resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Draw as many image groups as there are, with replacement, and yield how often each item occurs.

    Yields:
        (n_replicates, n_items) int64, a bounded number of replicates at a time.
    """
    names, group = np.unique(image_group, return_inverse=True)
    n_groups = len(names)
    for start in range(0, n_resamples, _REPLICATES_AT_ONCE):
        size = min(_REPLICATES_AT_ONCE, n_resamples - start)
        drawn = rng.integers(n_groups, size=(size, n_groups)) + n_groups * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * n_groups).reshape(size, n_groups)
        yield counts[:, group]


def _leave_one_group_out(image_group: np.ndarray) -> Iterator[np.ndarray]:
    """Yield 0/1 weights (n_left_out, n_items), each row without one group."""
    names, group = np.unique(image_group, return_inverse=True)
    for start in range(0, len(names), _REPLICATES_AT_ONCE):
        left_out = np.arange(start, min(start + _REPLICATES_AT_ONCE, len(names)))
        yield (group[None, :] != left_out[:, None]).astype(np.int64)


def _defined(resampled: Resampled) -> np.ndarray:
    defined = resampled.replicates[np.isfinite(resampled.replicates)]
    if len(defined) < 2 or not np.isfinite(resampled.observed):
        raise ValueError(
            f"Expected positive labels in the test set, but only {len(defined)} of {len(resampled.replicates)} "
            "bootstrap replicates have any; evaluate more folds or a dataset with more labelled test items."
        )
    return defined


def _estimate(resampled: Resampled, defined: np.ndarray, low: float, high: float) -> Estimate:
    error = float(defined.std(ddof=1))
    detectable = float(norm.ppf(1 - _ALPHA / 2) + norm.ppf(_POWER)) * error
    return Estimate(resampled.observed, low, high, error, detectable, len(resampled.replicates) - len(defined))
