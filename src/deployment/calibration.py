"""From scores to probabilities and decisions: fitted on a run's validation images, never on test."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.metrics import precision_recall_curve

from src.artifacts import load_json, save_json
from src.classifiers.soft_labels import log_odds
from src.errors import ArtifactError

logger = logging.getLogger(__name__)

CALIBRATION_FILE = "calibration.json"
PULL = 1.0  # weight of a class's bias being away from the others', so that rare classes do not run off
MIN_POSITIVES = 10  # validation images of a class, below which the best threshold of its own is an accident
FALLBACK_THRESHOLD = 0.5  # where no validation image has any label


@dataclass(frozen=True)
class Calibration:
    """Probability = sigmoid(slope * logit(score) + bias); a label is given at or above its threshold.

    Attributes:
        labels: The N labels.
        slope: Shared by all classes; below 1 where the network is too sure of itself.
        bias: One a class, [N]: takes back what class weights in the loss did to the scores.
        thresholds: Probability with the highest F1 on the validation images, [N].
        n_shared: How many classes have fewer than ``MIN_POSITIVES`` of these images, and take the threshold that is
            best for all classes together.
    """

    labels: list[str]
    slope: float
    bias: np.ndarray
    thresholds: np.ndarray
    n_shared: int

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, [n, N] float64, of scores [n, N] between 0 and 1."""
        result: np.ndarray = expit(self.slope * log_odds(scores) + self.bias)
        return result

    def save(self, path: Path) -> None:
        """Write as JSON."""
        content = {"labels": self.labels, "slope": self.slope, "bias": self.bias.tolist()}
        save_json(path, {**content, "thresholds": self.thresholds.tolist(), "n_shared": self.n_shared})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what ``save`` wrote; raises ``ArtifactError`` when it is damaged."""
        content: Any = load_json(path)
        try:
            bias, thresholds = (np.array(content[name], dtype=np.float64) for name in ("bias", "thresholds"))
            if not len(content["labels"]) == len(bias) == len(thresholds):
                raise ValueError("labels, bias and thresholds differ in length")
            labels = [str(label) for label in content["labels"]]
            return cls(labels, float(content["slope"]), bias, thresholds, int(content["n_shared"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{path} is damaged ({error}); delete it, and it is made again.") from error


def fit_calibration(labels: list[str], scores: np.ndarray, targets: np.ndarray) -> Calibration:
    """Fit slope and biases by maximum likelihood, then the threshold of each class.

    The threshold that is best on few positives is often one that everything reaches: with a threshold of their own for
    all classes, emoji get seven labels instead of two (Lipton et al. 2014 on why F1 does so).

    Args:
        labels: The N labels.
        scores: Of validation images, [n, N] between 0 and 1.
        targets: Their multi-hot labels, [n, N].

    Source: Platt (1999), with one slope for all classes and the biases pulled towards their mean.
    """
    slopes, bias = fit_logistic(log_odds(scores)[None], targets)
    few = targets.sum(axis=0) < MIN_POSITIVES
    calibration = Calibration(labels, float(slopes[0]), bias, np.zeros(len(labels)), int(few.sum()))
    probabilities = calibration.probabilities(scores)
    thresholds = np.full(len(labels), _best_threshold(targets.ravel(), probabilities.ravel()))
    for n in np.flatnonzero(~few):
        thresholds[n] = _best_threshold(targets[:, n], probabilities[:, n])
    return replace(calibration, thresholds=thresholds)


def fit_logistic(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maximum likelihood of probability = sigmoid(sum of slope * logit over sources + bias).

    Args:
        logits: Of each source, [K, n, N].
        targets: Multi-hot labels, [n, N].

    Returns:
        A positive slope a source, [K], shared by all classes, and a bias a class, [N], pulled towards their mean.
    """
    targets, n_sources = targets.astype(np.float64), len(logits)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        slopes, bias = parameters[:n_sources], parameters[n_sources:]
        values = np.tensordot(slopes, logits, axes=1) + bias
        away = bias - bias.mean()
        nll = np.logaddexp(0, values).sum() - (targets * values).sum()
        error = expit(values) - targets
        gradient = np.concatenate([(logits * error).sum(axis=(1, 2)), error.sum(axis=0) + PULL * away])
        return nll + PULL / 2 * (away**2).sum(), gradient

    start = np.concatenate([np.full(n_sources, 1 / n_sources), np.zeros(targets.shape[1])])
    bounds = [(1e-3, None)] * n_sources + [(None, None)] * targets.shape[1]
    fitted = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return fitted[:n_sources], fitted[n_sources:]


def expected_calibration_error(probabilities: np.ndarray, targets: np.ndarray, n_bins: int = 15) -> float:
    """Mean distance of probability and frequency over bins of equal numbers of image-label pairs."""
    order = np.argsort(probabilities, axis=None, kind="stable")
    flat, hits = probabilities.ravel()[order], targets.ravel()[order]
    bins = [part for part in np.array_split(np.arange(flat.size), n_bins) if len(part)]
    return float(sum(len(part) * abs(flat[part].mean() - hits[part].mean()) for part in bins) / flat.size)


def _best_threshold(targets: np.ndarray, probabilities: np.ndarray) -> float:
    if not targets.any():
        return FALLBACK_THRESHOLD
    precision, recall, thresholds = precision_recall_curve(targets, probabilities)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[np.argmax(f1[:-1])])
