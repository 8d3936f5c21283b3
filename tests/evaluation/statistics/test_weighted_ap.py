"""The kernel against scikit-learn, with weights and with repeated rows."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from src.evaluation.statistics import weighted_ap
from src.evaluation.statistics.metrics import average_precision
from src.evaluation.statistics.weighted_ap import PresortedScores


def average_precisions(targets, scores, weights):
    """Of each class, [n_weightings, n_classes]."""
    columns = [slice(n, n + 1) for n in range(targets.shape[1])]
    each = [PresortedScores(targets[:, n], scores[:, n]).mean_average_precision(weights) for n in columns]
    return np.stack(each, axis=1)


def _random_case(seed: int, ties: bool, n_items: int = 80, n_classes: int = 6):
    rng = np.random.default_rng(seed)
    targets = rng.random((n_items, n_classes)) < np.linspace(0.05, 0.6, n_classes)
    scores = rng.normal(size=(n_items, n_classes))
    weights = rng.poisson(1, size=(7, n_items))
    return targets, np.round(scores, 0 if ties else 9), weights


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_scikit_learn_on_repeated_rows(seed, ties, monkeypatch):
    monkeypatch.setattr(weighted_ap, "_REPLICATES_AT_ONCE", 3)  # chunks must not matter
    monkeypatch.setattr(weighted_ap, "_ENTRIES_PER_BLOCK", 200)  # nor blocks of classes
    targets, scores, weights = _random_case(seed, ties)
    values = average_precisions(targets, scores, weights)
    means = PresortedScores(targets, scores).mean_average_precision(weights)
    for row, weight in enumerate(weights):
        repeated = np.repeat(np.arange(len(targets)), weight)
        present = targets[repeated].any(axis=0)
        expected = average_precision_score(targets[repeated][:, present], scores[repeated][:, present], average=None)
        np.testing.assert_allclose(values[row, present], expected, atol=1e-9)
        assert np.isnan(values[row, ~present]).all()
        assert means[row] == pytest.approx(np.mean(expected), abs=1e-9)
        weighted = average_precision_score(targets[:, -1], scores[:, -1], sample_weight=weight)
        assert values[row, -1] == pytest.approx(weighted, abs=1e-9)


@pytest.mark.parametrize("ties", [False, True])
def test_unit_weights_give_the_plain_metric(ties):
    targets, scores, _ = _random_case(9, ties)
    values = average_precisions(targets, scores, np.ones((1, len(targets)), dtype=int))
    np.testing.assert_allclose(values[0], average_precision(targets, scores), atol=1e-12)


def test_weights_by_hand():
    presorted = PresortedScores(np.array([[1], [0], [1]]), np.array([[3.0], [2.0], [1.0]]))
    # weights 2, 3, 1: positives at the end of 2 and of 6 drawn; (2 * 2/2 + 1 * 3/6) / 3; without the negative: 1
    values = presorted.mean_average_precision(np.array([[2, 3, 1], [1, 0, 5], [0, 1, 0]]))
    np.testing.assert_allclose(values, [2.5 / 3, 1.0, np.nan])


def test_a_class_or_replicate_without_weighted_positives_is_excluded():
    targets = np.array([[1, 0, 0], [0, 1, 0]])
    presorted = PresortedScores(targets, np.array([[2.0, 2.0, 0.0], [1.0, 1.0, 0.0]]))
    means = presorted.mean_average_precision(np.array([[1, 1], [2, 0], [0, 3], [0, 0]]))
    np.testing.assert_allclose(means, [(1 + 1 / 2) / 2, 1.0, 1.0, np.nan])


def test_weights_beyond_sixteen_bits_are_summed_exactly():
    targets, scores, weights = _random_case(3, ties=True)
    # AP depends on ratios of weights only
    large, small = (average_precisions(targets, scores, factor * weights) for factor in (10_000, 1))
    np.testing.assert_allclose(large, small, atol=1e-12)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones((2, 3), dtype=int), r"shape \(n_replicates, 2\), but got \(2, 3\)"),
        (np.ones((1, 2)), "non-negative integer weights, but got float64"),
        (np.array([[1, -1]]), "non-negative integer weights, but got int64 with minimum -1"),
    ],
)
def test_wrong_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        PresortedScores(np.eye(2), np.eye(2)).mean_average_precision(weights)
