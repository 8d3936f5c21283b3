"""The comparison as the original implementation made it, to show next to a valid one."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import ttest_rel

from src.evaluation.statistics.weighted_ap import PresortedScores

PAPER_NOTE = "as the original did, not valid inference"


@dataclass(frozen=True)
class PaperComparison:
    """Two methods compared as in the paper: mean mAP of each method over its own resamples.

    Attributes:
        baseline_error: Standard error over resamples; it shrinks as resamples are added, whatever the data.
        candidate_error: The same for the candidate.
        p_value: Paired t-test over resamples, which are neither paired nor independent observations.
    """

    baseline: float
    candidate: float
    baseline_error: float
    candidate_error: float
    p_value: float
    note: str = PAPER_NOTE


def compare_as_paper(
    targets: np.ndarray,
    scores_baseline: np.ndarray,
    scores_candidate: np.ndarray,
    *,
    rng: np.random.Generator,
    n_resamples: int = 50,
    fraction: float = 0.9,
) -> PaperComparison:
    """Compare two runs by a t-test over bootstrap resamples that each method draws for itself.

    Separate draws are not paired, and each resample counts as a new observation although all come from one test set,
    so the test rejects true null hypotheses far more often than its level. Use ``paired_bootstrap`` for conclusions.

    Args:
        targets: Multi-hot labels, (n_items, n_classes).
        scores_baseline: Same shape, finite.
        scores_candidate: Same shape, rows aligned with ``scores_baseline``.
        rng: Sole source of randomness.
        n_resamples: Resamples of each method.
        fraction: Size of a resample as a share of the items; drawn with replacement.

    Source: section 4.1 of the paper and its published code.
    """
    baseline, candidate = (
        _resample(targets, scores, rng, n_resamples, fraction) for scores in (scores_baseline, scores_candidate)
    )
    error_baseline, error_candidate = (float(v.std(ddof=1) / np.sqrt(n_resamples)) for v in (baseline, candidate))
    if np.ptp(candidate - baseline) <= 1e-15:  # the t-test divides by this spread
        p_value = 1.0 if abs(candidate[0] - baseline[0]) <= 1e-15 else 0.0
    else:
        p_value = float(ttest_rel(candidate, baseline).pvalue)
    means = float(baseline.mean()), float(candidate.mean())
    return PaperComparison(*means, error_baseline, error_candidate, p_value)


def _resample(
    targets: np.ndarray, scores: np.ndarray, rng: np.random.Generator, n_resamples: int, fraction: float
) -> np.ndarray:
    n_items = len(targets)
    drawn = rng.integers(n_items, size=(n_resamples, max(1, round(fraction * n_items))))
    counts = np.apply_along_axis(np.bincount, 1, drawn, minlength=n_items)
    values = PresortedScores(targets, scores).mean_average_precision(counts)
    if not np.isfinite(values).all():
        raise ValueError(
            f"Expected positive labels in each of {n_resamples} resamples, but got one without any of "
            f"{int(targets.sum())} positives; protocol=paper needs a larger test set, use protocol=valid."
        )
    return values
