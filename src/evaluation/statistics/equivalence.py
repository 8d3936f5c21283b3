"""Whether a method is equivalent to the baseline: two one-sided tests against a margin."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student_t

from src.evaluation.statistics.bootstrap import Estimate
from src.evaluation.statistics.significance import ALPHA, TTest

MARGIN = 0.02
"""Largest difference that counts as none, as share of the baseline's mAP."""


@dataclass(frozen=True)
class Equivalence:
    """Result of two one-sided tests, over test images and over runs; the larger p-value of the two counts.

    Attributes:
        p_value: Of the hypothesis that the difference is at least ``MARGIN``; None where one run allows no t-test.
        smallest_margin: The least margin at which the tests would reject at level .05, as share of the baseline's mAP.
    """

    p_value: float | None
    smallest_margin: float | None


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
