"""CF2Label: how well labels can be told from CF vectors alone, predicted out of fold."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch

from src.config import CF2LabelConfig, check_choice
from src.errors import DataError
from src.evaluation.metrics import mean_average_precision
from src.recommenders.fold_ensemble import fit_fold_ensemble

UNLABELLED = -1
CLASS_WEIGHTINGS = ("none", "balanced")


@dataclass(frozen=True)
class OutOfFold:
    """What CF2Label says of each item without having seen its label.

    Attributes:
        probs: Label probabilities, [I, N] float32: of the model that did not train on the item's group; for
            unlabelled items the mean of all models.
        fold: The fold an item is in, [I] int64; -1 for unlabelled items.
        mean_average_precision: Of ``probs`` over the labelled items, over the labels that have a positive.
    """

    probs: np.ndarray
    fold: np.ndarray
    mean_average_precision: float


def assign_folds(groups: np.ndarray, labelled: np.ndarray, n_folds: int) -> np.ndarray:
    """Fold of each item, [I] int64, by a hash of its group's name; -1 where not labelled."""
    names, index = np.unique(groups.astype(str), return_inverse=True)
    hashes = (hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    fold = np.array([int.from_bytes(digest, "big") % n_folds for digest in hashes], dtype=np.int64)
    return np.where(labelled, fold[index], UNLABELLED)


def out_of_fold_probabilities(
    vectors: np.ndarray,
    targets: np.ndarray,
    labelled: np.ndarray,
    groups: np.ndarray,
    cfg: CF2LabelConfig,
    seed: int,
) -> OutOfFold:
    """Train one model a fold and predict each item with the model that saw neither its label nor its group's.

    Args:
        vectors: CF vectors, [I, f].
        targets: Multi-hot labels, [I, N]; rows of unlabelled items are ignored.
        labelled: Which items have labels, [I] bool.
        groups: Items of one group (``image_group``) share a fold, [I].
        cfg: Size and training of the models. Without class weights probabilities are calibrated.
        seed: Sole source of randomness.

    Raises:
        DataError: A fold has no labelled item to train on.

    Source: section 4.2.
    """
    check_choice("cf2label.class_weighting", cfg.class_weighting, CLASS_WEIGHTINGS)
    fold = assign_folds(groups, labelled, cfg.n_folds)
    train_rows = [np.flatnonzero(labelled & (fold != held)) for held in range(cfg.n_folds)]
    for held, rows in enumerate(train_rows):
        if len(rows) < 2:
            raise DataError(
                f"CF2Label needs at least two labelled items with a CF vector outside fold {held} of {cfg.n_folds}, "
                f"but has {len(rows)}; raise label_ratio, or lower cf2label.n_folds."
            )
    goals = torch.from_numpy(targets).float()
    predictions = fit_fold_ensemble(_standardized(vectors), goals, train_rows, cfg, seed).numpy()
    probs = predictions.mean(axis=0)
    probs[labelled] = predictions[fold[labelled], np.flatnonzero(labelled)]
    score = mean_average_precision(targets[labelled], probs[labelled])
    return OutOfFold(probs, fold, score)


def item_confidence(probs: np.ndarray, targets: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Loss-based confidence h of each item's CF vector, [I] float32.

    One over the mean of -log p over the item's positive labels. Items that are unlabelled or without positive get the
    mean of the others (1 if there are none). A loss below 1e-3 counts as 1e-3.

    Args:
        probs: Out-of-fold probabilities, [I, N].
        targets: Multi-hot labels, [I, N].
        labelled: Which items have labels, [I] bool.

    Source: section 3.4, loss-based confidence.
    """
    n_positives = targets.sum(axis=1)
    known = labelled & (n_positives > 0)
    loss = -(targets * np.log(np.clip(probs.astype(np.float64), 1e-12, 1.0))).sum(axis=1)
    confidence = 1.0 / np.clip(loss[known] / n_positives[known], 1e-3, None)
    result = np.full(len(targets), confidence.mean() if known.any() else 1.0)
    result[known] = confidence
    return result.astype(np.float32)


def expected_confidence(probs: np.ndarray) -> np.ndarray:
    """What ``item_confidence`` would give on average if labels were drawn from ``probs`` [I, N]: [I] float32.

    One over the mean of -log p over labels, each weighted by its probability: for items whose labels are missing, which
    the paper leaves to future work.
    """
    clipped = np.clip(probs.astype(np.float64), 1e-12, 1.0)
    loss = -(clipped * np.log(clipped)).sum(axis=1) / clipped.sum(axis=1)
    return (1.0 / np.clip(loss, 1e-3, None)).astype(np.float32)


def _standardized(vectors: np.ndarray) -> torch.Tensor:
    values = vectors.astype(np.float64)
    deviation = values.std(axis=0)
    return torch.from_numpy((values - values.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)).float()
