"""Confidence limits from bootstrap replicates."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import norm


def bca_interval(
    observed: float, replicates: np.ndarray, jackknife: Sequence[np.ndarray], confidence_level: float = 0.95
) -> tuple[float, float]:
    """Compute the bias-corrected and accelerated bootstrap interval.

    Args:
        observed: The statistic on the data themselves.
        replicates: (n_resamples,) finite bootstrap values.
        jackknife: For each independently drawn sample (here: fold) the values without each of its units; NaN where
            undefined.
        confidence_level: Between 0 and 1.

    Returns:
        Lower and upper limit; both equal ``observed`` when nothing varies.

    Raises:
        ValueError: ``confidence_level`` is not between 0 and 1.

    Source: Efron & Tibshirani (1993), eq. 14.9 to 14.15; several samples as in ``scipy.stats.bootstrap``.
    """
    tail = _tail(confidence_level)
    if np.ptp(replicates) <= 1e-12 and abs(replicates[0] - observed) <= 1e-12:
        return observed, observed
    # Ties count half, so that a discrete statistic does not look biased.
    below = np.mean(replicates < observed) + 0.5 * np.mean(replicates == observed)
    # With no replicate on one side the bias is only known to exceed what this many replicates can show.
    z0 = norm.ppf(np.clip(below, 0.5 / len(replicates), 1 - 0.5 / len(replicates)))
    acceleration = compute_acceleration(jackknife)
    shifted = z0 + norm.ppf([tail, 1 - tail])
    room = 1 - acceleration * shifted
    # Beyond a pole of the transform the limit is the most extreme replicate on that side.
    adjusted = np.where(room > 0, z0 + shifted / np.where(room > 0, room, 1), np.sign(shifted) * np.inf)
    low, high = np.quantile(replicates, norm.cdf(adjusted))
    return float(low), float(high)


def compute_acceleration(jackknife: Sequence[np.ndarray]) -> float:
    """Compute BCa's acceleration: a sixth of the skewness of the statistic's empirical influence; 0 if none varies."""
    squares, cubes = 0.0, 0.0
    for values in jackknife:
        defined = values[np.isfinite(values)]
        n_units = len(defined)
        if n_units > 1:
            influence = (n_units - 1) * (defined.mean() - defined) / n_units
            squares += float((influence**2).sum())
            cubes += float((influence**3).sum())
    return cubes / (6 * squares**1.5) if squares > 1e-24 else 0.0


def centred_interval(observed: float, replicates: np.ndarray, confidence_level: float = 0.95) -> tuple[float, float]:
    """Compute the percentile interval of the replicates, shifted so that their mean falls on the observed value.

    Args:
        observed: The statistic on the data themselves.
        replicates: (n_resamples,) finite bootstrap values.
        confidence_level: Between 0 and 1.
    """
    tail = _tail(confidence_level)
    low, high = np.quantile(replicates, [tail, 1 - tail]) - replicates.mean() + observed
    return float(low), float(high)


def _tail(confidence_level: float) -> float:
    if not 0 < confidence_level < 1:
        raise ValueError(f"Expected a confidence_level between 0 and 1, but got {confidence_level}; 0.95 is usual.")
    return (1 - confidence_level) / 2
