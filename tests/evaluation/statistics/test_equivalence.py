"""Two one-sided tests: hand arithmetic, and their level in simulation."""

import numpy as np
import pytest
from scipy import stats

from src.evaluation.statistics.bootstrap import Estimate
from src.evaluation.statistics.equivalence import MARGIN, equivalence
from src.evaluation.statistics.significance import TTest, corrected_t_test


def difference(value, error):
    return Estimate(value, value - 2 * error, value + 2 * error, error, 2.8 * error, 0)


def runs(error, degrees=4):
    return TTest(0.0, 1.0, degrees, "fold", error)


@pytest.mark.parametrize("value", [0.002, -0.002])
def test_by_hand(value):
    found = equivalence(difference(value, 0.004), 0.5, runs(0.003))  # margin .01, so .008 is left
    assert found.p_value == pytest.approx(max(stats.norm.sf(2.0), stats.t.sf(0.008 / 0.003, 4)))
    reach = max(stats.norm.ppf(0.95) * 0.004, stats.t.ppf(0.95, 4) * 0.003)
    assert found.smallest_margin == pytest.approx((0.002 + reach) / 0.5)


def test_a_difference_beyond_the_margin_is_not_equivalent():
    assert equivalence(difference(0.02, 1e-4), 0.5, runs(1e-4)).p_value > 0.99


def test_the_smallest_margin_is_where_the_test_begins_to_reject():
    found = equivalence(difference(0.003, 0.004), 0.5, runs(0.002))
    for share, rejects in ((1.001, True), (0.999, False)):  # a baseline at which that margin is the 2 percent
        baseline = share * found.smallest_margin * 0.5 / MARGIN
        assert (equivalence(difference(0.003, 0.004), baseline, runs(0.002)).p_value < 0.05) == rejects


def test_one_run_shows_no_equivalence():
    found = equivalence(difference(0.0, 1e-3), 0.5, None)
    assert found.p_value is None
    assert found.smallest_margin is None


def test_runs_that_differ_by_nothing_are_equivalent():
    t_test = corrected_t_test([[0.0], [0.0], [0.0]], 0.2)
    assert equivalence(difference(0.0, 0.0), 0.5, t_test).p_value == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("true", "low", "high"), [(0.01, 0.0, 0.06), (0.0, 0.8, 1.0)])
def test_the_level_holds_at_the_margin_and_power_is_high_at_zero(true, low, high):
    rng, n_folds, spread = np.random.default_rng(0), 6, 0.004
    rejected = []
    for _ in range(1000):
        of_folds = true + spread * rng.standard_normal(n_folds)
        t_test = corrected_t_test([[value] for value in of_folds], 0.0)
        estimate = difference(of_folds.mean(), spread / np.sqrt(n_folds))
        rejected.append(equivalence(estimate, 0.5, t_test).p_value < 0.05)
    assert low <= np.mean(rejected) <= high
