"""Intervals: known answers, invariances, degenerate cases, and coverage in simulation."""

import numpy as np
import pytest

from src.evaluation.inputs.aligned import PairedFold
from src.evaluation.statistics.bootstrap import draw_group_counts, estimate, paired_bootstrap, resample_map
from src.evaluation.statistics.metrics import mean_average_precision
from tests.evaluation.synthetic import simulate_fold


def test_interval_holds_the_estimate_in_its_middle_and_keeps_the_replicates_shape():
    # replicates that all exceed the estimate, evenly from .5 to .7: their spread counts, not where they lie
    result = estimate(np.r_[0.2, np.linspace(0.5, 0.7, 1001)])
    np.testing.assert_allclose([result.low, result.high], [0.2 - 0.095, 0.2 + 0.095], atol=1e-9)
    skewed = np.random.default_rng(3).exponential(size=4000)
    result = estimate(np.r_[0.0, skewed / 10])
    low, high = np.quantile(skewed, [0.025, 0.975]) - skewed.mean()
    np.testing.assert_allclose([result.low, result.high], [low / 10, high / 10], atol=1e-12)


def test_interval_ends_where_the_statistic_does():
    replicates = np.linspace(-0.5, 0.5, 101)
    difference, value = estimate(np.r_[-0.9, replicates]), estimate(np.r_[0.1, replicates], lowest=0.0)
    assert (difference.low, difference.high) == (-1, pytest.approx(-0.425))
    assert (value.low, value.high) == (0, pytest.approx(0.575))


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
    for counts, value in zip(draws, resampled[1:], strict=True):
        rows = np.repeat(np.arange(40), counts)
        assert value == pytest.approx(mean_average_precision(fold.targets[rows], scores[rows]), abs=1e-12)


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
    result = estimate(resampled, lowest=0.0)
    # the positive is missed with probability (2/3)^3 = 0.296
    assert 60 < result.n_undefined < 120
    with pytest.raises(ValueError, match="Expected positive labels in the test set"):
        estimate(resample_map(targets * 0, scores, np.array(["a", "b", "c"]), 10, seed=0))


@pytest.mark.slow
@pytest.mark.parametrize("prevalence", [np.full(6, 0.12), np.geomspace(0.01, 0.12, 20)], ids=["frequent", "rare"])
def test_intervals_cover_the_true_values(prevalence):
    rng = np.random.default_rng(17)

    def simulate() -> PairedFold:
        return simulate_fold(rng, effect=0.4, n_items=120, prevalence=prevalence)

    # what another test set of this size gives on average
    truth = [simulate() for _ in range(1500)]
    old = np.mean([mean_average_precision(f.targets, f.scores_baseline[0]) for f in truth])
    new = np.mean([mean_average_precision(f.targets, f.scores_candidate[0]) for f in truth])
    n_simulations, covered = 2000, np.zeros(2)
    for _ in range(n_simulations):
        folds = [simulate() for _ in range(2)]
        difference = paired_bootstrap(folds, rng=rng, n_resamples=400)
        runs = [resample_map(f.targets, f.scores_baseline[0], f.image_group, 400, seed=k) for k, f in enumerate(folds)]
        single = estimate(np.mean(runs, axis=0), lowest=0.0)
        covered += [difference.low <= new - old <= difference.high, single.low <= old <= single.high]
    assert ((covered / n_simulations >= 0.93) & (covered / n_simulations <= 0.97)).all(), covered / n_simulations


def test_wrong_arguments_are_refused():
    fold = simulate_fold(np.random.default_rng(0))
    with pytest.raises(ValueError, match="n_resamples of at least 2, but got 1"):
        paired_bootstrap([fold], rng=np.random.default_rng(0), n_resamples=1)
