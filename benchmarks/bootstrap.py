"""Bootstrap replicates of mAP, 4,000 images and 200 classes: scikit-learn's average precision against ours."""

import numpy as np
from sklearn.metrics import average_precision_score

from benchmarks.measure import compare, timed
from src.evaluation.statistics.weighted_ap import PresortedScores

N_IMAGES, N_CLASSES, N_PEER, N_OURS = 4000, 200, 3, 1024


def predictions() -> tuple[np.ndarray, np.ndarray]:
    """Targets with 3 % positives, and scores that know something of them."""
    rng = np.random.default_rng(0)
    targets = (rng.random((N_IMAGES, N_CLASSES)) < 0.03).astype(np.uint8)
    return targets, (rng.normal(size=targets.shape) + targets).astype(np.float32)


def peer() -> tuple[float, float]:
    """Each replicate sorted anew."""
    targets, scores = predictions()
    rng = np.random.default_rng(1)

    def replicate() -> None:
        rows = rng.integers(0, N_IMAGES, N_IMAGES)
        average_precision_score(targets[rows], scores[rows], average="macro")

    return N_PEER, timed(lambda: [replicate() for _ in range(N_PEER)])


def ours() -> tuple[float, float]:
    """Sorted once, sorting included in the time, then weighted."""
    targets, scores = predictions()
    rng = np.random.default_rng(1)

    def replicates() -> None:
        presorted = PresortedScores(targets, scores)
        for _ in range(N_OURS // 256):
            weights = rng.multinomial(N_IMAGES, np.full(N_IMAGES, 1 / N_IMAGES), size=256)
            presorted.mean_average_precision(weights)

    return N_OURS, timed(replicates)


if __name__ == "__main__":
    compare("bootstrap", "replicates", {"scikit-learn": peer, "ours": ours}, target=100.0)
