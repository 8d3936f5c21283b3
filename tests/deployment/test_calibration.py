"""Calibration recovers what distorted the scores, and thresholds are those of the best F1."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import f1_score

from src.deployment.calibration import Calibration, expected_calibration_error, fit_calibration
from src.errors import ArtifactError


def simulate(n=4000, n_classes=4):
    rng = np.random.default_rng(0)
    truth = expit(rng.normal(size=(n, n_classes)) * 1.5 - 1.0)
    targets = (rng.random(truth.shape) < truth).astype(np.float32)
    scores = expit(2.0 * logit(truth) + np.array([2.0, 0.0, -1.0, 1.0]))  # too sure, and shifted by class weights
    return truth, targets, scores


def test_slope_and_biases_are_taken_back():
    truth, targets, scores = simulate()
    fitted = fit_calibration(list("abcd"), scores, targets)
    assert fitted.slope == pytest.approx(0.5, abs=0.05)
    assert fitted.bias == pytest.approx([-1.0, 0.0, 0.5, -0.5], abs=0.12)
    assert np.abs(fitted.probabilities(scores) - truth).mean() < 0.02
    before, after = (expected_calibration_error(p, targets) for p in (scores, fitted.probabilities(scores)))
    assert after < 0.015 < 0.1 < before


def test_thresholds_have_the_best_f1():
    _, targets, scores = simulate(n=300)
    targets[9:, 3] = 0
    assert 0 < targets[:, 3].sum() < 10
    fitted = fit_calibration(list("abcd"), scores, targets)
    probabilities = fitted.probabilities(scores)
    together = targets.ravel(), probabilities.ravel()  # decides where a class has fewer than ten positives
    for n, (target, probability) in enumerate([*zip(targets.T[:3], probabilities.T[:3], strict=True), together]):
        best = f1_score(target, probability >= fitted.thresholds[n])
        assert best == pytest.approx(max(f1_score(target, probability >= value) for value in probability[:300]))
    assert fitted.n_shared == 1


def test_without_any_positive_the_threshold_is_a_half():
    _, targets, scores = simulate(n=20)
    assert (fit_calibration(list("abcd"), scores, 0 * targets).thresholds == 0.5).all()


def test_scores_of_zero_and_one_stay_finite():
    scores = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]], dtype=np.float32)
    fitted = fit_calibration(["a", "b"], scores, np.array([[0, 1], [1, 0], [1, 1]]))
    assert np.isfinite(fitted.probabilities(scores)).all()
    assert fitted.slope > 0


def test_error_by_hand():
    assert expected_calibration_error(np.array([[0.2], [0.4]]), np.array([[0.0], [1.0]]), n_bins=1) == pytest.approx(
        0.2
    )


def test_saved_and_read(tmp_path):
    path = tmp_path / "calibration.npz"
    saved = Calibration(np.array(["a", "b"]), np.float64(0.5), np.array([0.1, -0.2]), np.array([0.3, 0.4]), np.int64(1))
    saved.save(path)
    read = Calibration.load(path)
    assert {name: value.tolist() for name, value in vars(read).items()} == {
        **{"labels": ["a", "b"], "slope": 0.5, "bias": [0.1, -0.2], "thresholds": [0.3, 0.4], "n_shared": 1},
    }
    np.savez(path, **vars(saved) | {"labels": np.array(["a"])})
    with pytest.raises(ArtifactError, match=r"calibration\.npz: labels, bias and thresholds differ in length"):
        Calibration.load(path)
