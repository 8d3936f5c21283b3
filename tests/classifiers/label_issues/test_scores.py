import numpy as np
import pytest
from scipy.special import logit

from src.classifiers.label_issues.scores import evidence, exchange_label_sets, found, probability_of_error, stack


def test_evidence_by_hand():
    targets = np.array([[1, 0], [0, 1], [0, 0], [0, 0]])
    probs = np.array([[0.5, 0.25], [0.5, 0.25], [0.25, 0.25], [0.1, 0.25]])
    expected = [
        np.log(0.25 / 0.5),  # the given label is twice as likely here as anywhere
        np.log(0.75 / 0.5),  # a label that is likely here is not given
        0.0,  # nothing known: prevalences
        np.log(0.75 / 0.9),
    ]
    np.testing.assert_allclose(evidence(probs, targets), expected, rtol=1e-6)


def test_exchanged_label_sets_are_those_of_other_items_and_equal_sets_count_as_right():
    targets = np.eye(10)
    changed, wrong = exchange_label_sets(targets, 0.4, np.random.default_rng(0))
    assert wrong.sum() == 4
    assert (changed.sum(axis=0) == 1).all()
    assert (changed[~wrong] == targets[~wrong]).all()
    same, none = exchange_label_sets(np.ones((10, 3)), 0.4, np.random.default_rng(0))
    assert not none.any()
    assert same.sum() == 30


def test_found_by_hand():
    wrong = np.array([True, False, True, False, False])
    auroc, precision = found(np.array([5.0, 4.0, 3.0, 2.0, 1.0]), wrong)
    assert (auroc, precision) == (pytest.approx(5 / 6), 0.5)


def planted(n_items=4000, seed=0):
    """One label; the image knows it a little, CF knows it well of items with many users and not of others."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((n_items, 1)) < 0.3).astype(float)
    n_users = np.where(rng.random(n_items) < 0.5, 0, 1000)
    known = np.where(n_users > 0, 2.0, 0.0)[:, None]
    sign = 2 * targets - 1
    image = 0.3 + 0.1 * sign + rng.normal(0, 0.05, targets.shape)
    cf = np.where(known > 0, 0.3 + 0.2 * sign + rng.normal(0, 0.05, targets.shape), 0.3)
    return image.clip(0.01, 0.99), cf.clip(0.01, 0.99), n_users, targets


def test_the_stack_trusts_cf_where_users_are_many_and_finds_what_neither_source_finds_alone():
    image, cf, n_users, right = planted()
    image[n_users > 0] = 0.3  # so the sources cover different items
    given, wrong = exchange_label_sets(right, 0.05, np.random.default_rng(1))
    both = stack(image, cf, n_users, given, np.random.default_rng(0))
    scores = {name: evidence(probs, given) for name, probs in (("image", image), ("cf", cf), ("both", both))}
    auroc = {name: found(values, wrong)[0] for name, values in scores.items()}
    assert auroc["both"] > 0.95
    assert max(auroc["image"], auroc["cf"]) < 0.9
    assert abs(logit(both[n_users > 0]) - logit(both[n_users > 0].mean())).mean() > 1


def test_the_share_of_wrong_items_is_estimated():
    rng = np.random.default_rng(0)
    wrong = rng.random(20_000) < 0.08
    # Likelihood ratios of one normal observation, mean 2 where wrong: log ratio 2 x - 2.
    observed = rng.normal(size=20_000) + 2 * wrong
    probability = probability_of_error(2 * observed - 2)
    assert probability.mean() == pytest.approx(0.08, abs=0.01)
    high = probability > 0.8
    assert wrong[high].mean() == pytest.approx(probability[high].mean(), abs=0.05)


def test_without_wrong_items_none_is_suspected():
    observed = np.random.default_rng(0).normal(size=5000)
    assert (probability_of_error(2 * observed - 8) > 0.5).sum() == 0
