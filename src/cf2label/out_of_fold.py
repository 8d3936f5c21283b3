"""CF2Label: labels predicted from CF vectors alone, out of fold."""

import logging
from dataclasses import dataclass

import numpy as np
import torch

from src.cf2label.ensemble import fit_fold_ensemble
from src.config.cf2label import CF2LabelConfig
from src.errors import DataError
from src.evaluation.statistics.metrics import mean_average_precision
from src.randomness import hash_number

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OutOfFold:
    """CF2Label's prediction for each item.

    Attributes:
        probs: Label probabilities, [I, N] float32: of the model that did not train on the item's group; for
            unlabelled items the mean of all models.
        fold: The item's fold, [I] int64; -1 for unlabelled items.
        mean_average_precision: Of ``probs`` over the labelled items, over the labels that have a positive.
    """

    probs: np.ndarray
    fold: np.ndarray
    mean_average_precision: float


def assign_folds(groups: np.ndarray, labelled: np.ndarray, n_folds: int) -> np.ndarray:
    """Fold of each item, [I] int64, by a hash of its group's name; -1 where not labelled."""
    names, index = np.unique(groups.astype(str), return_inverse=True)
    fold = np.array([hash_number(name) % n_folds for name in names], dtype=np.int64)
    return np.where(labelled, fold[index], -1)


def out_of_fold_probabilities(
    vectors: np.ndarray, targets: np.ndarray, labelled: np.ndarray, groups: np.ndarray, cfg: CF2LabelConfig, seed: int
) -> OutOfFold:
    """Train one model for each fold; predict each item with the model that did not train on its group.

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
    fold = assign_folds(groups, labelled, cfg.n_folds)
    train_rows = [np.flatnonzero(labelled & (fold != held)) for held in range(cfg.n_folds)]
    for held, rows in enumerate(train_rows):
        if len(rows) < 2:
            raise DataError(
                f"CF2Label needs at least two labelled items with a CF vector outside fold {held} of {cfg.n_folds}, "
                f"but has {len(rows)}; raise label_ratio, or lower cf2label.n_folds."
            )
    values = vectors.astype(np.float64)
    deviation = values.std(axis=0)
    inputs = torch.from_numpy((values - values.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)).float()
    predictions = fit_fold_ensemble(inputs, torch.from_numpy(targets).float(), train_rows, cfg, seed).numpy()
    probs = predictions.mean(axis=0)
    probs[labelled] = predictions[fold[labelled], np.flatnonzero(labelled)]
    return OutOfFold(probs, fold, mean_average_precision(targets[labelled], probs[labelled]))


def warn_of_trivial_labels(targets: np.ndarray, label_names: list[str]) -> None:
    """Warn of labels that all items have, whose average precision is 1 whatever is predicted; multi-hot [I, N]."""
    trivial = [name for name, share in zip(label_names, targets.mean(axis=0), strict=True) if share == 1]
    if trivial:
        logger.warning(
            "All %d items have %s: an average precision of 1 for any prediction, which lifts the mAP over %d labels. "
            "Leave such labels out of the item table.",
            *(len(targets), " and ".join(map(repr, trivial[:3])) + " ..." * (len(trivial) > 3), len(label_names)),
        )


def item_confidence(probs: np.ndarray, targets: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Loss-based confidence h of each item's CF vector, [I] float32.

    One over the mean of -log p over the item's positive labels, for out-of-fold probabilities p and multi-hot labels,
    both [I, N]. Items without labels or positives get the mean of the others (1 if there are none). A loss below 1e-3
    counts as 1e-3.

    Source: section 3.4, loss-based confidence.
    """
    n_positives = targets.sum(axis=1)
    known = labelled & (n_positives > 0)
    loss = -(targets * np.log(np.clip(probs.astype(np.float64), 1e-12, 1.0))).sum(axis=1)
    confidence = 1.0 / np.clip(loss[known] / n_positives[known], 1e-3, None)
    result = np.full(len(targets), confidence.mean() if known.any() else 1.0)
    result[known] = confidence
    return result.astype(np.float32)
