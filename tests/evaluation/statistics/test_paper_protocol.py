"""The original's comparison: reproduced, stamped, and shown to be invalid."""

import numpy as np
import pytest

from src.evaluation.statistics.paper_protocol import PAPER_NOTE, compare_as_paper
from tests.evaluation.synthetic import simulate_fold


def test_result_is_stamped_and_reproducible():
    fold = simulate_fold(np.random.default_rng(0), effect=1.0)
    arrays = fold.targets, fold.scores_baseline[0], fold.scores_candidate[0]
    result = compare_as_paper(*arrays, rng=np.random.default_rng(1))
    assert result.note == PAPER_NOTE == "as the original did, not valid inference"
    assert result == compare_as_paper(*arrays, rng=np.random.default_rng(1))
    assert result.candidate > result.baseline
    assert result.p_value < 0.01


def test_methods_draw_separately():
    fold = simulate_fold(np.random.default_rng(0))
    same = fold.targets, fold.scores_baseline[0], fold.scores_baseline[0]
    result = compare_as_paper(*same, rng=np.random.default_rng(1))
    assert result.candidate != result.baseline


def test_standard_error_shrinks_with_resamples_whatever_the_data():
    fold = simulate_fold(np.random.default_rng(0))
    arrays = fold.targets, fold.scores_baseline[0], fold.scores_candidate[0]
    few, many = (compare_as_paper(*arrays, rng=np.random.default_rng(1), n_resamples=n) for n in (50, 5000))
    assert many.baseline_error == pytest.approx(few.baseline_error / 10, rel=0.35)


def test_it_rejects_true_null_hypotheses_far_too_often():
    rng = np.random.default_rng(4)
    rejected = 0
    for _ in range(60):
        fold = simulate_fold(rng, effect=0.0, n_items=60)
        result = compare_as_paper(fold.targets, fold.scores_baseline[0], fold.scores_candidate[0], rng=rng)
        rejected += result.p_value < 0.01
    assert rejected > 60 * 0.2


def test_constant_methods_and_missing_labels():
    targets = np.ones((5, 1))
    result = compare_as_paper(targets, np.zeros((5, 1)), np.zeros((5, 1)), rng=np.random.default_rng(0))
    assert (result.p_value, result.baseline) == (1.0, 1.0)
    with pytest.raises(ValueError, match="needs a larger test set, use protocol=valid"):
        compare_as_paper(np.eye(8)[:, :1], np.zeros((8, 1)), np.zeros((8, 1)), rng=np.random.default_rng(0))
