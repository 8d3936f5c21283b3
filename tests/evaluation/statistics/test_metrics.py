"""Hand arithmetic, scikit-learn as oracle, and invariances."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from src.evaluation.statistics.metrics import (
    MEASURES,
    average_precision,
    mean_average_precision,
    micro_average_precision,
    recall_at_k,
)


def _random_case(seed: int, ties: bool, n_items: int = 60, n_classes: int = 7):
    rng = np.random.default_rng(seed)
    targets = (rng.random((n_items, n_classes)) < 0.2).astype(np.uint8)
    scores = rng.normal(size=(n_items, n_classes)).astype(np.float32)
    return targets, np.round(scores) if ties else scores


def test_average_precision_by_hand():
    targets = np.array([[1], [0], [1], [0]])
    scores = np.array([[0.9], [0.8], [0.7], [0.1]])
    # positives at ranks 1 and 3: (1/1 + 2/3) / 2
    assert average_precision(targets, scores)[0] == pytest.approx((1 + 2 / 3) / 2)


def test_tied_items_are_retrieved_together():
    targets = np.array([[1], [0], [1], [0]])
    scores = np.array([[0.9], [0.5], [0.5], [0.1]])
    # the tie at ranks 2 and 3 ends at rank 3 with two positives
    assert average_precision(targets, scores)[0] == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(targets, np.ones((4, 1)))[0] == pytest.approx(0.5)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn(seed, ties):
    targets, scores = _random_case(seed, ties)
    expected = average_precision_score(targets, scores, average=None)
    np.testing.assert_allclose(average_precision(targets, scores), expected, atol=1e-9)
    assert mean_average_precision(targets, scores) == pytest.approx(np.mean(expected), abs=1e-9)
    micro = average_precision_score(targets, scores, average="micro")
    assert micro_average_precision(targets, scores) == pytest.approx(micro, abs=1e-9)


def test_class_without_positive_is_nan_and_left_out_of_the_mean():
    targets = np.array([[1, 0], [0, 0]])
    scores = np.array([[0.1, 0.3], [0.2, 0.4]])
    values = average_precision(targets, scores)
    assert values[0] == pytest.approx(0.5)
    assert np.isnan(values[1])
    assert mean_average_precision(targets, scores) == pytest.approx(0.5)
    assert np.isnan(mean_average_precision(np.zeros((2, 2)), scores))
    assert np.isnan(micro_average_precision(np.zeros((2, 2)), scores))


@pytest.mark.parametrize("ties", [False, True])
def test_item_order_and_monotone_transforms_change_nothing(ties):
    targets, scores = _random_case(11, ties)
    order = np.random.default_rng(0).permutation(len(targets))
    expected = average_precision(targets, scores)
    np.testing.assert_array_equal(average_precision(targets[order], scores[order]), expected)
    np.testing.assert_array_equal(average_precision(targets, np.exp(scores.astype(np.float64)) * 3 - 1), expected)


def test_recall_at_k_by_hand():
    targets = np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0]])
    scores = np.array([[0.9, 0.1, 0.5], [0.1, 0.2, 0.3], [1.0, 2.0, 3.0]])
    # item 1: one of two labels among the best two; item 2: found; item 3 has no label and is left out
    assert recall_at_k(targets, scores, 2) == pytest.approx((1 / 2 + 1) / 2)
    assert recall_at_k(targets, scores, 3) == 1.0
    assert recall_at_k(targets, np.zeros((3, 3)), 1) == pytest.approx(1 / 3)
    assert np.isnan(recall_at_k(np.zeros((2, 2)), np.zeros((2, 2)), 1))


def test_top1_accuracy_by_hand():
    targets = np.eye(3)[[0, 1, 2, 2]]
    scores = np.array([[0.9, 0.1, 0.0], [0.5, 0.2, 0.1], [0.0, 0.1, 0.7], [0.4, 0.1, 0.4]])
    top1 = MEASURES["top1_accuracy"]
    assert top1.compute(targets, scores) == pytest.approx((1 + 0 + 1 + 0.5) / 4)  # two tied best classes count half
    assert top1.is_defined(targets)
    assert not top1.is_defined(np.array([[1, 1], [0, 1]]))


@pytest.mark.parametrize(
    ("targets", "scores", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), r"one shape .* but got \(2, 3\) and \(3, 2\); align"),
        (np.zeros(2), np.zeros(2), "one shape"),
        (np.zeros((0, 3)), np.zeros((0, 3)), "at least one item"),
        (np.zeros((1, 2)), np.array([[np.nan, np.inf]]), "finite scores, but got 2 NaN or infinite of 2"),
        (np.array([[0.5, 1.0]]), np.zeros((1, 2)), "targets 0 or 1, but got .*0.5"),
    ],
)
def test_unusable_predictions_are_refused(targets, scores, message):
    with pytest.raises(ValueError, match=message):
        average_precision(targets, scores)


def test_k_out_of_range_is_refused():
    with pytest.raises(ValueError, match="between 1 and the number of classes, 2, but got 3; lower k"):
        recall_at_k(np.ones((1, 2)), np.zeros((1, 2)), 3)
