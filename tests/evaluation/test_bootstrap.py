"""Intervals: known answers, invariances, degenerate cases, and coverage in simulation."""

import numpy as np
import pytest
from scipy import stats

from src.evaluation.bca import bca_interval, centred_interval, compute_acceleration
from src.evaluation.bootstrap import (
    draw_group_counts,
    estimate_value,
    mean_over_folds,
    paired_bootstrap,
    resample_map,
)
from src.evaluation.metrics import mean_average_precision
from src.evaluation.paired_fold import PairedFold
from tests.evaluation.synthetic import simulate_fold


def test_bca_agrees_with_scipy_on_a_skewed_sample():
    sample = np.random.default_rng(3).exponential(size=30)
    expected = stats.bootstrap((sample,), np.mean, n_resamples=4000, method="BCa", rng=np.random.default_rng(0))
    jackknife = np.array([np.delete(sample, i).mean() for i in range(len(sample))])
    interval = bca_interval(sample.mean(), expected.bootstrap_distribution, [jackknife])
    np.testing.assert_allclose(interval, expected.confidence_interval, rtol=1e-6)


def test_acceleration_of_a_mean_is_its_skewness_over_six_root_n():
    sample = np.array([0.0, 0.0, 0.0, 4.0])
    jackknife = np.array([4 / 3, 4 / 3, 4 / 3, 0.0])
    # deviations -1, -1, -1, 3: sum of cubes 24, of squares 12
    assert compute_acceleration([jackknife]) == pytest.approx(24 / (6 * 12**1.5))
    assert compute_acceleration([sample * 0]) == 0.0
    assert compute_acceleration([np.array([np.nan, *jackknife])]) == pytest.approx(24 / (6 * 12**1.5))


def test_bca_of_unbiased_symmetric_replicates_is_the_percentile_interval():
    replicates = np.linspace(-1, 1, 10_001)
    np.testing.assert_allclose(bca_interval(0.0, replicates, [np.array([-1.0, 1.0])]), [-0.95, 0.95], atol=1e-3)


def test_bca_counts_ties_with_the_estimate_half():
    # half of the replicates equal the estimate, a quarter lies on each side: no bias, so the percentile interval
    replicates = np.repeat([-1.0, 0.0, 1.0], [250, 500, 250])
    assert bca_interval(0.0, replicates, [np.array([-1.0, 1.0])], 0.4) == (0.0, 0.0)


def test_bca_survives_replicates_all_on_one_side():
    low, high = bca_interval(0.0, np.linspace(1, 2, 100), [np.array([1.0, 2.0])])
    assert 1 <= low <= high <= 2


def test_centred_interval_keeps_the_estimate_inside():
    low, high = centred_interval(0.2, np.linspace(0.5, 0.7, 1001))
    np.testing.assert_allclose([low, high], [0.2 - 0.095, 0.2 + 0.095], atol=1e-9)
    with pytest.raises(ValueError, match=r"confidence_level between 0 and 1, but got 95; 0.95 is usual"):
        centred_interval(0.2, np.ones(3), 95)


def test_equal_methods_give_an_interval_of_no_width():
    fold = simulate_fold(np.random.default_rng(0), effect=0.0)
    same = PairedFold(fold.targets, fold.image_group, fold.scores_baseline, fold.scores_baseline)
    result = paired_bootstrap([same], rng=np.random.default_rng(0), n_resamples=50)
    assert (result.value, result.low, result.high, result.standard_error) == (0, 0, 0, 0)


def test_a_constant_difference_gives_its_own_interval():
    # The candidate ranks perfectly (AP 1), the baseline is constant over two groups that are always equally drawn.
    targets = np.array([[1], [0]])
    fold = PairedFold(targets, np.array(["g", "g"]), [np.zeros((2, 1))], [targets.astype(float)])
    result = paired_bootstrap([fold], rng=np.random.default_rng(0), n_resamples=20)
    assert (result.value, result.low, result.high) == (0.5, 0.5, 0.5)


def test_replicates_equal_the_metric_on_drawn_rows():
    fold = simulate_fold(np.random.default_rng(1), n_items=40)
    scores = fold.scores_candidate[0]
    resampled = resample_map(fold.targets, scores, fold.image_group, 5, seed=7)
    (draws,) = draw_group_counts(fold.image_group, 5, np.random.default_rng(7))
    for counts, value in zip(draws, resampled.replicates, strict=True):
        rows = np.repeat(np.arange(40), counts)
        assert value == pytest.approx(mean_average_precision(fold.targets[rows], scores[rows]), abs=1e-12)
    without_first = fold.image_group != np.unique(fold.image_group)[0]
    expected = mean_average_precision(fold.targets[without_first], scores[without_first])
    assert resampled.jackknife[0][0] == pytest.approx(expected, abs=1e-12)


def test_items_of_a_group_are_drawn_together():
    group = np.array(["b", "a", "b", "c"])
    counts = np.concatenate(list(draw_group_counts(group, 600, np.random.default_rng(0))))
    assert counts.shape == (600, 4)
    np.testing.assert_array_equal(counts[:, 0], counts[:, 2])
    np.testing.assert_array_equal(counts[:, [0, 1, 3]].sum(axis=1), 3)
    assert abs(counts.mean() - 1) < 0.05


def test_value_is_the_mean_over_folds_of_the_mean_over_seeds():
    rng = np.random.default_rng(5)
    folds = [simulate_fold(rng, n_seeds=2), simulate_fold(rng, n_seeds=1)]
    result = paired_bootstrap(folds, rng=np.random.default_rng(0), n_resamples=100)

    def difference(fold: PairedFold, seed: int) -> float:
        old, new = fold.scores_baseline[seed], fold.scores_candidate[seed]
        return mean_average_precision(fold.targets, new) - mean_average_precision(fold.targets, old)

    by_hand = ((difference(folds[0], 0) + difference(folds[0], 1)) / 2 + difference(folds[1], 0)) / 2
    assert result.value == pytest.approx(by_hand, abs=1e-12)
    assert result.low < result.value < result.high
    assert result.smallest_detectable == pytest.approx((1.959964 + 0.841621) * result.standard_error, rel=1e-5)


def test_interval_depends_on_ranks_only_and_on_the_seed():
    fold = simulate_fold(np.random.default_rng(2))
    stretched = PairedFold(
        fold.targets, fold.image_group, [np.exp(s) for s in fold.scores_baseline], [s**3 for s in fold.scores_candidate]
    )

    def run(fold: PairedFold, seed: int):
        return paired_bootstrap([fold], rng=np.random.default_rng(seed), n_resamples=100)

    assert run(fold, 0) == run(stretched, 0)
    assert run(fold, 0) != run(fold, 1)


def test_replicates_without_any_label_are_left_out_and_counted():
    targets = np.array([[1], [0], [0]])
    scores = np.array([[0.0], [1.0], [2.0]])
    resampled = resample_map(targets, scores, np.array(["a", "b", "c"]), 300, seed=0)
    result = estimate_value(mean_over_folds([resampled]), 0.95)
    # the positive is missed with probability (2/3)^3 = 0.296
    assert 60 < result.n_undefined < 120
    with pytest.raises(ValueError, match="Expected positive labels in the test set"):
        estimate_value(resample_map(targets * 0, scores, np.array(["a", "b", "c"]), 10, seed=0), 0.95)


def test_wrong_arguments_are_refused():
    fold = simulate_fold(np.random.default_rng(0))
    with pytest.raises(ValueError, match="n_resamples of at least 2, but got 1"):
        paired_bootstrap([fold], rng=np.random.default_rng(0), n_resamples=1)
    with pytest.raises(ValueError, match="same seeds, at least one, for both methods, but got 1 and 0 runs"):
        PairedFold(fold.targets, fold.image_group, fold.scores_baseline, [])
    with pytest.raises(ValueError, match="one image group for each of 100 items"):
        PairedFold(fold.targets, fold.image_group[1:], fold.scores_baseline, fold.scores_candidate)


@pytest.mark.slow
def test_intervals_cover_the_true_values():
    rng = np.random.default_rng(17)
    # what another test set of this size gives on average
    truth = [simulate_fold(rng, effect=0.4, n_items=120) for _ in range(1500)]
    old = np.mean([mean_average_precision(f.targets, f.scores_baseline[0]) for f in truth])
    new = np.mean([mean_average_precision(f.targets, f.scores_candidate[0]) for f in truth])
    n_simulations, covered = 2000, np.zeros(2)
    for _ in range(n_simulations):
        folds = [simulate_fold(rng, effect=0.4, n_items=120) for _ in range(2)]
        difference = paired_bootstrap(folds, rng=rng, n_resamples=400)
        runs = [resample_map(f.targets, f.scores_baseline[0], f.image_group, 400, seed=k) for k, f in enumerate(folds)]
        single = estimate_value(mean_over_folds(runs), 0.95)
        covered += [difference.low <= new - old <= difference.high, single.low <= old <= single.high]
    assert ((covered / n_simulations >= 0.93) & (covered / n_simulations <= 0.97)).all(), covered / n_simulations
