from dataclasses import replace

import numpy as np
import pytest
import torch

from src.cf2label.out_of_fold import (
    assign_folds,
    item_confidence,
    out_of_fold_probabilities,
    warn_of_trivial_labels,
)
from src.config.cf2label import CF2LabelConfig
from src.errors import DataError

QUICK = CF2LabelConfig(max_steps=150, batch_size=32, lr=0.02, hidden_size=16)


def planted(n_items=200, n_labels=3, seed=0):
    """Vectors of three clusters, label = cluster, two items a group."""
    rng = np.random.default_rng(seed)
    cluster = np.arange(n_items) // 2 % n_labels
    vectors = np.eye(8, dtype=np.float32)[cluster] * 3 + rng.normal(size=(n_items, 8)).astype(np.float32) * 0.3
    groups = np.array([f"g{index // 2}" for index in range(n_items)])
    return vectors, np.eye(n_labels, dtype=np.float32)[cluster], groups


def test_planted_clusters_are_recovered():
    vectors, targets, groups = planted()
    result = out_of_fold_probabilities(vectors, targets, np.ones(200, bool), groups, QUICK, 0)
    assert result.mean_average_precision > 0.98
    assert result.probs.dtype == np.float32
    shuffled = vectors[np.random.default_rng(0).permutation(200)]
    assert (
        out_of_fold_probabilities(shuffled, targets, np.ones(200, bool), groups, QUICK, 0).mean_average_precision < 0.6
    )


def test_folds_keep_groups_together_and_do_not_depend_on_the_other_items():
    groups = np.array([f"g{index // 3}" for index in range(300)])
    labelled = np.arange(300) % 7 != 0
    fold = assign_folds(groups, labelled, 5)
    assert (fold[~labelled] == -1).all()
    assert all(len(set(fold[labelled & (groups == group)])) <= 1 for group in np.unique(groups))
    assert set(fold[labelled]) == set(range(5))
    np.testing.assert_array_equal(assign_folds(groups[::-1], labelled[::-1], 5)[::-1], fold)


def test_no_item_is_predicted_by_a_model_that_saw_its_own_or_its_groups_label():
    # Every item's vector is its group's own random point, labels are coin flips: memory is the only way to know them.
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), 2).astype(str)
    vectors = np.repeat(rng.normal(size=(100, 64)), 2, axis=0).astype(np.float32)
    targets = np.repeat(rng.integers(0, 2, (100, 4)), 2, axis=0).astype(np.float32)
    labelled = np.ones(200, bool)
    cfg = CF2LabelConfig(max_steps=300, batch_size=64, hidden_size=64, weight_decay=0.0)
    before = out_of_fold_probabilities(vectors, targets, labelled, groups, cfg, 0)
    # Changing one group's labels leaves the predictions of its fold as they were, byte for byte.
    changed = targets.copy()
    changed[:2] = 1 - changed[:2]
    after = out_of_fold_probabilities(vectors, changed, labelled, groups, cfg, 0)
    same = before.fold == before.fold[0]
    assert before.probs[same].tobytes() == after.probs[same].tobytes()
    assert not np.array_equal(before.probs[~same], after.probs[~same])
    # With every item its own group, its twin's label is memorised.
    leaky = out_of_fold_probabilities(vectors, targets, labelled, np.arange(200).astype(str), cfg, 0)
    assert leaky.mean_average_precision > before.mean_average_precision + 0.1


def test_unlabelled_items_get_the_mean_and_their_rows_are_ignored():
    vectors, targets, groups = planted()
    labelled = np.arange(200) < 150
    first = out_of_fold_probabilities(vectors, targets, labelled, groups, QUICK, 0)
    scrambled = np.where(labelled[:, None], targets, 1 - targets)
    second = out_of_fold_probabilities(vectors, scrambled, labelled, groups, QUICK, 0)
    assert first.probs.tobytes() == second.probs.tobytes()
    assert (first.fold[150:] == -1).all()
    assert (first.probs[150:].argmax(1) == targets[150:].argmax(1)).all()


def test_same_seed_same_bytes_on_any_number_of_threads():
    vectors, targets, groups = planted()
    labelled, threads = np.ones(200, bool), torch.get_num_threads()
    state = torch.random.get_rng_state()
    first = out_of_fold_probabilities(vectors, targets, labelled, groups, QUICK, 0)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    torch.manual_seed(99)
    second = out_of_fold_probabilities(vectors, targets, labelled, groups, QUICK, 0)
    other = out_of_fold_probabilities(vectors, targets, labelled, groups, QUICK, 1)
    assert first.probs.tobytes() == second.probs.tobytes()
    assert first.probs.tobytes() != other.probs.tobytes()


def test_a_batch_of_one_cannot_occur():
    vectors, targets, groups = planted(n_items=45)
    cfg = CF2LabelConfig(max_steps=20, batch_size=4)  # folds leave numbers of items that 4 does not divide
    assert np.isfinite(out_of_fold_probabilities(vectors, targets, np.ones(45, bool), groups, cfg, 0).probs).all()


def test_probabilities_are_calibrated_without_and_raised_with_class_weights():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(600, 4)).astype(np.float32)
    targets = (rng.random((600, 2)) < 0.1).astype(np.float32)
    groups, labelled = np.arange(600).astype(str), np.ones(600, bool)
    plain = out_of_fold_probabilities(vectors, targets, labelled, groups, QUICK, 0)
    balanced = replace(QUICK, class_weighting="balanced")
    weighted = out_of_fold_probabilities(vectors, targets, labelled, groups, balanced, 0)
    assert plain.probs.mean() == pytest.approx(targets.mean(), abs=0.03)
    assert weighted.probs.mean() > 0.3


def test_confidence_by_hand():
    probs = np.array([[0.5, 0.25], [np.exp(-2), 0.9], [0.3, 0.3], [0.1, 0.1], [1.0, 0.0]], dtype=np.float32)
    targets = np.array([[1, 1], [1, 0], [0, 0], [1, 0], [1, 0]], dtype=np.float32)
    labelled = np.array([True, True, True, False, True])
    first = 1 / ((np.log(2) + np.log(4)) / 2)
    expected = [first, 1 / 2, 0, 0, 1 / 1e-3]  # a loss of 0 counts as 1e-3
    expected[2] = expected[3] = (first + 1 / 2 + 1000) / 3  # without positives; without labels
    np.testing.assert_allclose(item_confidence(probs, targets, labelled), expected, rtol=1e-5)


def test_confidence_without_any_label_is_one():
    assert item_confidence(np.full((2, 3), 0.5), np.zeros((2, 3)), np.zeros(2, bool)).tolist() == [1.0, 1.0]


def test_errors():
    vectors, targets, groups = planted(n_items=20)
    with pytest.raises(DataError, match="at least two labelled items"):
        out_of_fold_probabilities(vectors, targets, np.arange(20) < 2, groups, QUICK, 0)


def test_a_label_that_all_items_have_is_warned_of(caplog):
    targets = np.array([[1, 0, 1], [1, 1, 0]], np.float32)
    warn_of_trivial_labels(targets[:, 1:], ["red", "blue"])
    assert not caplog.messages
    warn_of_trivial_labels(targets, ["toys", "red", "blue"])
    assert "All 2 items have 'toys': an average precision of 1 for any prediction" in caplog.text
