import numpy as np
import pytest

from src.classifiers.targets.confidence import bounded_confidence
from src.config.classifiers import ConfidenceConfig

RAW = np.array([1.0, 2.0, 3.0, 10.0])


def test_omega_by_hand():
    assert bounded_confidence(RAW, ConfidenceConfig(omega=2.0)).tolist() == pytest.approx([4 / 7, 8 / 7, 8 / 7, 8 / 7])


def test_omega_defaults_to_the_75th_percentile():
    omega = np.quantile(RAW, 0.75)
    expected = np.minimum(RAW, omega) / np.minimum(RAW, omega).mean()
    assert bounded_confidence(RAW, ConfidenceConfig()).tolist() == pytest.approx(expected.tolist())


@pytest.mark.parametrize("bound", ["quantile", "quartile_rescale", "none"])
def test_the_mean_is_one_whatever_the_scale(bound):
    cfg = ConfidenceConfig(bound=bound)
    assert bounded_confidence(RAW, cfg).mean() == pytest.approx(1.0)
    assert bounded_confidence(RAW * 7, cfg) == pytest.approx(bounded_confidence(RAW, cfg))


def test_the_original_rescales_the_quartiles_to_one_to_three():
    omega = bounded_confidence(RAW, ConfidenceConfig(bound="quartile_rescale"))
    assert omega.max() / omega.min() == pytest.approx(3.0)


def test_no_vectors():
    assert len(bounded_confidence(np.zeros(0), ConfidenceConfig())) == 0
