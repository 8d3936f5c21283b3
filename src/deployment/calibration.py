"""Probabilities and labels from scores: fitted on a run's validation images, never on test images."""

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.metrics import precision_recall_curve

from src.artifacts import ArrayArtifact
from src.classifiers.finished_run import FinishedRun
from src.classifiers.targets.soft_labels import log_odds
from src.data.folds import VAL
from src.data.images.store import ImageStore
from src.errors import ArtifactError

logger = logging.getLogger(__name__)

CALIBRATION_FILE = "calibration.npz"
PULL = 1.0  # weight of the penalty on a class's distance from the mean bias, which keeps rare classes near it
MIN_POSITIVES = 10  # with fewer positive validation images, a class's own best threshold is noise
FALLBACK_THRESHOLD = 0.5  # where no validation image has any label


@dataclass(frozen=True)
class Calibration(ArrayArtifact):
    """Probability = sigmoid(slope * logit(score) + bias); a label is given at or above its threshold.

    Attributes:
        labels: The N labels.
        slope: Scalar, shared by all classes; below 1 where the network is overconfident.
        bias: One for each class, [N]; corrects the effect of class weights in the loss.
        thresholds: Probability with the highest F1 on the validation images, [N].
        n_shared: Scalar, classes with fewer than ``MIN_POSITIVES`` of these images; they share the threshold that is
            best for all classes together.
    """

    labels: np.ndarray
    slope: np.ndarray
    bias: np.ndarray
    thresholds: np.ndarray
    n_shared: np.ndarray

    def __post_init__(self) -> None:
        if not len(self.labels) == len(self.bias) == len(self.thresholds):
            raise ArtifactError("labels, bias and thresholds differ in length.")

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, [n, N] float64, of scores [n, N] between 0 and 1."""
        return expit(self.slope * log_odds(scores) + self.bias)

    def rank(self, probabilities: np.ndarray, top_k: int) -> list[dict[str, Any]]:
        """The ``top_k`` likeliest labels of an image with ``probabilities`` [N], and which reach their threshold."""
        columns = self.labels.tolist(), probabilities.tolist(), self.thresholds.tolist()
        rows = [
            {"label": label, "probability": probability, "threshold": threshold, "given": probability >= threshold}
            for label, probability, threshold in zip(*columns, strict=True)
        ]
        return sorted(rows, key=lambda row: -row["probability"])[:top_k]


def calibration_of(run: FinishedRun, batch_size: int) -> Calibration:
    """A run's calibration: read, or fitted on its validation images and saved beside its checkpoint."""
    run.fold.require_classes("Calibration")
    path = run.directory / CALIBRATION_FILE
    if path.is_file():
        return Calibration.load(path)
    scores, targets = _score_validation(run, batch_size)
    calibration = fit_calibration(run.fold.label_names, scores, targets)
    both = (scores, calibration.probabilities(scores))
    before, after = (expected_calibration_error(values, targets) for values in both)
    logger.info("Calibrated on %d validation images: error %.4f, before %.4f.", len(scores), after, before)
    calibration.save(path)
    return calibration


def _score_validation(run: FinishedRun, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """A run's scores of the labelled validation items, [n, N], and their targets, [n, N].

    Raises:
        ArtifactError: There is no such item.
    """
    items = run.fold.split(VAL)
    items = items[items["labels"].notna()]
    if not len(items):
        raise ArtifactError(
            f"Expected labelled validation items, but fold {run.config['fold']} has none; choose a run of another fold."
        )
    item_id = items["item_id"].to_numpy()
    scores = run.score(item_id, ImageStore.open(run.fold.images_dir), batch_size)
    return scores, run.fold.targets(items)


def fit_calibration(labels: list[str], scores: np.ndarray, targets: np.ndarray) -> Calibration:
    """Fit slope and biases by maximum likelihood, then the threshold of each class.

    On few positives, the threshold with the best F1 is often so low that every image reaches it (Lipton et al., 2014).
    With a threshold for every class, an emoji gets seven labels on average instead of two.

    ``scores`` of validation images, [n, N], are between 0 and 1, ``targets`` multi-hot.

    Source: Platt (1999), with one slope for all classes and the biases pulled towards their mean.
    """
    slope, bias = _fit_logistic(log_odds(scores), targets)
    few = targets.sum(axis=0) < MIN_POSITIVES
    calibration = Calibration(np.array(labels), slope, bias, np.zeros(len(labels)), few.sum())
    probabilities = calibration.probabilities(scores)
    thresholds = np.full(len(labels), _best_threshold(targets.ravel(), probabilities.ravel()))
    for n in np.flatnonzero(~few):
        thresholds[n] = _best_threshold(targets[:, n], probabilities[:, n])
    return replace(calibration, thresholds=thresholds)


def _fit_logistic(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maximum likelihood of probability = sigmoid(slope * logit + bias).

    Returns:
        A positive slope [] for all classes, and a bias for each class, [N], pulled towards the mean bias.
    """
    targets = targets.astype(np.float64)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        slope, bias = parameters[0], parameters[1:]
        values = slope * logits + bias
        away = bias - bias.mean()
        nll = np.logaddexp(0, values).sum() - (targets * values).sum()
        error = expit(values) - targets
        gradient = np.concatenate([[(logits * error).sum()], error.sum(axis=0) + PULL * away])
        return nll + PULL / 2 * (away**2).sum(), gradient

    n_classes = targets.shape[1]
    start, bounds = np.array([1.0, *np.zeros(n_classes)]), [(1e-3, None)] + [(None, None)] * n_classes
    fitted = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return fitted[0], fitted[1:]


def expected_calibration_error(probabilities: np.ndarray, targets: np.ndarray, n_bins: int = 15) -> float:
    """Mean absolute difference of probability and frequency, over bins with equal numbers of image-label pairs."""
    order = np.argsort(probabilities, axis=None, kind="stable")
    flat, hits = (np.array_split(values.ravel()[order], n_bins) for values in (probabilities, targets))
    return float(sum(abs(p.sum() - y.sum()) for p, y in zip(flat, hits, strict=True)) / order.size)


def _best_threshold(targets: np.ndarray, probabilities: np.ndarray) -> float:
    if not targets.any():
        return FALLBACK_THRESHOLD
    precision, recall, thresholds = precision_recall_curve(targets, probabilities)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[np.argmax(f1[:-1])])
