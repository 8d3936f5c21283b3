"""Labels saved: by hand, at the ends of the curve, and the coverage of its interval in simulation."""

import numpy as np
import pytest

from src.evaluation.statistics.bootstrap import Estimate, resample_map
from src.evaluation.statistics.comparison import MethodResult
from src.evaluation.statistics.labels_saved import labels_saved

RATIOS = (0.1, 0.2, 0.5, 1.0)


def row(name, resampled, runs=((0, 0), (1, 0))):
    resampled = np.asarray(resampled, dtype=float)
    measured = Estimate(resampled[0], 0.0, 1.0, 0.0, 0.0, 0)
    return MethodResult(name, name, measured, {}, np.zeros(1), np.array(["a"]), 2, 1, 0, resampled, frozenset(runs))


def curve(values, candidate, at=0.1):
    """``values``: the baseline's replicates at each of ``RATIOS``; ``candidate``: the method's at one of them."""
    results = {ratio: [row("image_only", resampled)] for ratio, resampled in zip(RATIOS, values, strict=True)}
    results[at].append(row("cf_distill", candidate))
    return results


def constant(value):
    return [value] * 5


def test_the_ratio_is_interpolated_in_the_logarithm():
    rising = [constant(value) for value in (0.1, 0.2, 0.3, 0.4)]
    (saved,) = labels_saved(curve(rising, constant(0.15)), "image_only")
    assert (saved.method, saved.label_ratio) == ("cf_distill", 0.1)
    assert saved.equals == pytest.approx(np.sqrt(0.1 * 0.2))
    assert (saved.equals_low, saved.equals_high) == pytest.approx((saved.equals, saved.equals))


@pytest.mark.parametrize(("value", "expected"), [(0.9, 1.0), (0.01, 0.1), (0.2, 0.2)])
def test_the_ends_of_the_curve_bound_it(value, expected):
    rising = [constant(value) for value in (0.1, 0.2, 0.3, 0.4)]
    assert labels_saved(curve(rising, constant(value)), "image_only")[0].equals == pytest.approx(expected)


def test_where_the_curve_falls_or_is_flat_the_fewest_labels_count():
    bumpy = [constant(value) for value in (0.1, 0.3, 0.25, 0.4)]
    assert labels_saved(curve(bumpy, constant(0.3)), "image_only")[0].equals == pytest.approx(0.2)


def test_undefined_replicates_are_left_out():
    rising = [[value, value, value, value, np.nan] for value in (0.1, 0.2, 0.3, 0.4)]
    (saved,) = labels_saved(curve(rising, [0.2, 0.2, 0.2, np.nan, 0.2]), "image_only")
    assert (saved.equals_low, saved.equals_high) == pytest.approx((0.2, 0.2))


def test_one_ratio_or_other_runs_give_nothing(caplog):
    rising = [constant(value) for value in (0.1, 0.2, 0.3, 0.4)]
    whole = curve(rising, constant(0.2))
    assert labels_saved({0.1: whole[0.1]}, "image_only") == []
    whole[0.1][1] = row("cf_distill", constant(0.2), runs=((0, 0),))
    assert labels_saved(whole, "image_only") == []
    assert not caplog.messages
    whole[0.2] = [row("image_only", constant(0.2), runs=((0, 0),))]
    assert labels_saved(whole, "image_only") == []
    assert "image_only has other folds or seeds" in caplog.text


@pytest.mark.slow
def test_the_interval_covers_the_truth():
    """Signals grow with the ratio; the method at a tenth has the signal halfway between two ratios."""
    strength, of_method, n_classes = dict(zip(RATIOS, (0.4, 0.8, 1.2, 1.6), strict=True)), 1.0, 5

    def simulate(rng, n_items, n_resamples):
        targets = (rng.random((n_items, n_classes)) < 0.2).astype(np.uint8)
        shared, group = rng.standard_normal(targets.shape), np.arange(n_items).astype(str)

        def measure(signal):
            scores = signal * targets + shared + 0.7 * rng.standard_normal(targets.shape)
            return resample_map(targets, scores.astype(np.float32), group, n_resamples, 1)

        return curve([measure(strength[ratio]) for ratio in RATIOS], measure(of_method))

    truth = labels_saved(simulate(np.random.default_rng(0), 200_000, 2), "image_only")[0].equals
    assert 0.25 < truth < 0.4
    intervals = [
        labels_saved(simulate(np.random.default_rng(seed), 400, 300), "image_only")[0] for seed in range(1, 301)
    ]
    covered = np.mean([saved.equals_low <= truth <= saved.equals_high for saved in intervals])
    assert 0.91 <= covered <= 0.985
    assert np.median([saved.equals_high / saved.equals_low for saved in intervals]) < 3
