"""Tests of difference and of equivalence: enumeration, hand arithmetic, and their levels in simulation."""

import itertools

import numpy as np
import pytest
from scipy import stats

from src.evaluation.inputs.aligned import PairedFold
from src.evaluation.statistics.bootstrap import Estimate
from src.evaluation.statistics.metrics import mean_average_precision
from src.evaluation.statistics.significance import (
    MARGIN,
    TTest,
    corrected_t_test,
    equivalence,
    holm,
    paired_randomization_test,
    verdict,
)
from tests.evaluation.synthetic import simulate_fold


def _tiny_fold(seed: int, n_groups: int, n_seeds: int = 1) -> PairedFold:
    rng = np.random.default_rng(seed)
    n_items = n_groups + 1
    targets = (rng.random((n_items, 3)) < 0.4).astype(np.uint8)
    targets[:2] = [[1, 1, 1], [0, 0, 0]]
    group = np.array([f"f{seed}_{max(i - 1, 0)}" for i in range(n_items)])  # the first two items share an image
    old, new = (rng.normal(size=(n_seeds, n_items, 3)).round(1) for _ in range(2))
    return PairedFold(targets, group, list(old), list(new + targets))


def _enumerate(folds: list[PairedFold]) -> float:
    """Every assignment of the two predictions of each group, scored by the plain metric on ranks."""
    groups = sorted({group for fold in folds for group in fold.image_group})
    values = []
    for swapped in itertools.product([False, True], repeat=len(groups)):
        flip = dict(zip(groups, swapped, strict=True))
        per_fold = []
        for fold in folds:
            mask = np.array([flip[group] for group in fold.image_group])[:, None]
            differences = []
            for old, new in zip(fold.scores_baseline, fold.scores_candidate, strict=True):
                old, new = stats.rankdata(old, axis=0), stats.rankdata(new, axis=0)
                swapped_new, swapped_old = np.where(mask, old, new), np.where(mask, new, old)
                first, second = (mean_average_precision(fold.targets, s) for s in (swapped_new, swapped_old))
                differences.append(first - second)
            per_fold.append(np.mean(differences))
        values.append(np.mean(per_fold))
    return float(np.mean(np.abs(values) >= abs(values[0]) - 1e-12))


@pytest.mark.parametrize("n_seeds", [1, 2])
def test_exact_p_value_equals_enumeration(n_seeds):
    folds = [_tiny_fold(1, 4, n_seeds), _tiny_fold(2, 5, n_seeds)]
    for seed in (0, 1):  # all 512 swaps are tried, none is drawn
        p_value = paired_randomization_test(folds, rng=np.random.default_rng(seed), n_permutations=512)
        assert p_value == pytest.approx(_enumerate(folds), abs=1e-12)


def test_random_swaps_approach_the_enumerated_p_value():
    folds = [_tiny_fold(4, 9)]
    p_value = _enumerate(folds)
    drawn = paired_randomization_test(folds, rng=np.random.default_rng(0), n_permutations=500)
    assert 0.02 < p_value < 0.98
    assert 0 < abs(drawn - p_value) < 4 * np.sqrt(p_value * (1 - p_value) / 500)


def test_a_clear_difference_has_the_smallest_p_value_in_both_directions():
    fold = simulate_fold(np.random.default_rng(0), effect=1.5)
    mirrored = PairedFold(fold.targets, fold.image_group, fold.scores_candidate, fold.scores_baseline)
    for one in (fold, mirrored):
        p_value = paired_randomization_test([one], rng=np.random.default_rng(1), n_permutations=99)
        assert p_value == pytest.approx(1 / 100)  # never 0


def test_equal_methods_have_p_value_one():
    fold = simulate_fold(np.random.default_rng(0))
    same = PairedFold(fold.targets, fold.image_group, fold.scores_baseline, fold.scores_baseline)
    assert paired_randomization_test([same], rng=np.random.default_rng(0), n_permutations=50) == 1


def test_scale_of_the_scores_does_not_matter():
    fold = simulate_fold(np.random.default_rng(3), effect=0.3)
    stretched = PairedFold(
        fold.targets, fold.image_group, fold.scores_baseline, [1e3 + s for s in fold.scores_candidate]
    )

    def run(fold: PairedFold):
        return paired_randomization_test([fold], rng=np.random.default_rng(2), n_permutations=200)

    assert run(fold) == run(stretched)


def test_thousands_of_groups_do_not_overflow():
    fold = simulate_fold(np.random.default_rng(0), effect=2.0, n_items=1500)
    assert paired_randomization_test([fold], rng=np.random.default_rng(0), n_permutations=19) == 1 / 20


def test_nadeau_bengio_by_hand():
    # fold means 1, 2, 3: mean 2, variance 1; t = 2 / sqrt(1 * (1/3 + 3/14))
    result = corrected_t_test([[0.5, 1.5], [2.0], [3.0]], test_train_ratio=3 / 14)
    assert result is not None
    assert result.statistic == pytest.approx(2 / np.sqrt(1 / 3 + 3 / 14))
    assert result.p_value == pytest.approx(2 * stats.t.sf(2 / np.sqrt(1 / 3 + 3 / 14), 2))
    assert (result.degrees, result.unit) == (2, "fold")


def test_seeds_of_one_fold_give_the_plain_paired_test():
    result = corrected_t_test([[0.1, 0.3, 0.2]], test_train_ratio=3 / 14)
    assert result is not None
    assert result.p_value == pytest.approx(stats.ttest_1samp([0.1, 0.3, 0.2], 0).pvalue)
    assert result.unit == "seed"


def test_t_test_needs_two_runs_and_survives_equal_ones():
    assert corrected_t_test([[0.1]], 0.2) is None
    equal = corrected_t_test([[0.0], [0.0]], 0.2)
    assert equal is not None
    assert equal.p_value == 1


def test_holm_by_hand():
    # sorted: .01 * 4, .02 * 3, .03 * 2, .04 * 1, each at least its predecessor
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    # what could not be tested is no test
    assert holm([None, 0.02, 0.5]) == [None, pytest.approx(0.04), pytest.approx(0.5)]
    assert holm([]) == []


def test_significant_needs_both_tests():
    assert verdict(0.049, 0.049) == "yes"
    assert verdict(0.05, 0.01) == verdict(0.01, 0.06) == "no"
    assert verdict(0.01, None) == "one run"


@pytest.mark.slow
def test_false_positives_are_as_rare_as_promised():
    rng = np.random.default_rng(23)
    p_values = []
    for _ in range(2000):
        folds = [simulate_fold(rng, effect=0.0, n_items=60, prevalence=[0.12] * 4) for _ in range(2)]
        p_values.append(paired_randomization_test(folds, rng=rng, n_permutations=199))
    assert 0.03 <= np.mean(np.array(p_values) <= 0.05) <= 0.07
    effect = [simulate_fold(rng, effect=0.8) for _ in range(2)]
    assert paired_randomization_test(effect, rng=rng, n_permutations=199) < 0.05


def difference(value, error):
    return Estimate(value, value - 2 * error, value + 2 * error, error, 2.8 * error, 0)


def runs(error, degrees=4):
    return TTest(0.0, 1.0, degrees, "fold", error)


@pytest.mark.parametrize("value", [0.002, -0.002])
def test_equivalence_by_hand(value):
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


def test_no_permutation_is_refused():
    with pytest.raises(ValueError, match="n_permutations of at least 1, but got 0"):
        paired_randomization_test([_tiny_fold(0, 3)], rng=np.random.default_rng(0), n_permutations=0)
