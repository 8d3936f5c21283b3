"""CF vectors whose prior is what the item's image predicts, so that items with few users borrow from their picture."""

from dataclasses import replace

import numpy as np

from src.cf2label.out_of_fold import assign_folds
from src.recommenders.vectors import CFVectors

N_FOLDS = 5
PENALTIES = np.geomspace(0.1, 1000, 9)
"""Of the ridge regression, in mean squares of a feature; the best out of fold is taken."""


def with_image_prior(cf: CFVectors, features: np.ndarray, groups: np.ndarray, strength: float) -> CFVectors:
    """Take v = (n v_CF + k v_image) / (n + k) for an item of n users; one without CF vector has n = 0.

    v_image comes from a ridge regression of CF vectors on features that saw no item of the item's group. There an item
    weighs n / (n + k).

    Args:
        cf: Vectors of n items.
        features: Of their images, [n, F] float32.
        groups: Items of one group (``image_group``) are predicted together, [n].
        strength: The k users that the image's prediction weighs.
    """
    n_users = np.where(cf.present, cf.n_users, 0)
    share = (n_users / (n_users + strength)).astype(np.float32)
    prior = predict_out_of_fold(features, cf.vectors, share, groups)
    vectors = share[:, None] * cf.vectors + (1 - share[:, None]) * prior
    return replace(cf, vectors=vectors.astype(np.float32), present=np.ones(len(vectors), dtype=bool))


def predict_out_of_fold(
    features: np.ndarray, vectors: np.ndarray, weight: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """Predict vectors [n, f] from features [n, F] by ridge regressions that saw no vector of the item's group.

    ``weight`` [n] float32 says how much each item counts, 0 for one whose vector is not known. The penalty is the one
    whose predictions are best. Memory: some three copies of the features, and F x F matrices.
    """
    total = max(float(weight.sum()), 1e-12)
    x = features - weight @ features / total
    deviation = np.sqrt(weight @ np.square(x) / total)
    x /= np.where(deviation > 0, deviation, 1)
    fold = assign_folds(groups, np.ones(len(groups), dtype=bool), N_FOLDS)
    parts = [np.flatnonzero(fold == held) for held in range(N_FOLDS)]
    moments = [_moments(x[rows], vectors[rows], weight[rows]) for rows in parts]
    of_all = [np.sum(values, axis=0) for values in zip(*moments, strict=True)]
    predicted = np.empty((len(PENALTIES), *vectors.shape), dtype=np.float32)
    for rows, own in zip(parts, moments, strict=True):
        squares, products, sum_x, sum_y, n = (every - mine for every, mine in zip(of_all, own, strict=True))
        mean_x, mean_y = sum_x / max(n, 1e-12), sum_y / max(n, 1e-12)
        values, basis = np.linalg.eigh(squares - np.outer(sum_x, mean_x))
        inputs, outputs = (x[rows] - mean_x) @ basis, basis.T @ (products - np.outer(sum_x, mean_y))
        for i, penalty in enumerate(PENALTIES * total):
            predicted[i, rows] = mean_y + inputs @ (outputs / (np.maximum(values, 0) + penalty)[:, None])
    errors = [weight @ np.square(candidate - vectors).sum(axis=1) for candidate in predicted]
    return predicted[int(np.argmin(errors))]


def _moments(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, ...]:
    """Weighted sums over items of x x', x y', x, y and 1, float64."""
    weighted = x * weight[:, None]
    sums = weighted.T @ x, weighted.T @ y, weighted.sum(axis=0), weight @ y, weight.sum()
    return tuple(np.asarray(value, dtype=np.float64) for value in sums)
