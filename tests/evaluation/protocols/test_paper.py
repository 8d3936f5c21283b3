"""The original's comparison: reproduced, stamped, and shown to be invalid."""

import numpy as np
import pytest

from src.evaluation.inputs.aligned import PairedFold
from src.evaluation.protocols.paper import compare_as_paper
from tests.evaluation.synthetic import simulate_fold


def test_result_is_reproducible():
    fold = simulate_fold(np.random.default_rng(0), effect=1.0)
    result = compare_as_paper(fold, np.random.default_rng(1))
    assert result == compare_as_paper(fold, np.random.default_rng(1))
    assert result["mAP"] > result["baseline_mAP"]
    assert result["difference_percent"] == pytest.approx(100 * (result["mAP"] / result["baseline_mAP"] - 1))
    assert result["p_t_test"] < 0.01


def test_methods_draw_separately():
    fold = simulate_fold(np.random.default_rng(0))
    same = PairedFold(fold.targets, fold.image_group, fold.scores_baseline, fold.scores_baseline)
    result = compare_as_paper(same, np.random.default_rng(1))
    assert result["mAP"] != result["baseline_mAP"]


def test_standard_error_shrinks_with_resamples_whatever_the_data():
    fold = simulate_fold(np.random.default_rng(0))
    few, many = (compare_as_paper(fold, np.random.default_rng(1), n_resamples=n) for n in (50, 5000))
    assert many["baseline_error"] == pytest.approx(few["baseline_error"] / 10, rel=0.35)


def test_it_rejects_true_null_hypotheses_far_too_often():
    rng = np.random.default_rng(4)
    folds = (simulate_fold(rng, effect=0.0, n_items=60) for _ in range(60))
    rejected = sum(compare_as_paper(fold, rng)["p_t_test"] < 0.01 for fold in folds)
    assert rejected > 60 * 0.2


def test_constant_methods_and_missing_labels():
    def constant(targets):
        zeros = [np.zeros(targets.shape)]
        return PairedFold(targets, np.arange(len(targets)).astype(str), zeros, zeros)

    result = compare_as_paper(constant(np.ones((5, 1))), np.random.default_rng(0))
    assert (result["p_t_test"], result["baseline_mAP"]) == (1.0, 1.0)
    with pytest.raises(ValueError, match="needs a larger test set, use protocol=valid"):
        compare_as_paper(constant(np.eye(8)[:, :1]), np.random.default_rng(0))
