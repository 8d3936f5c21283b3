"""Soft labels: label probabilities of train items by CF2Label, or by a network that saw no CF."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from torch import Tensor

from src.artifacts import PROBABILITIES_FILE, ItemProbabilities
from src.classifiers.finished_run import FinishedRun
from src.classifiers.runs import cf2label_run, teacher_run
from src.classifiers.settings import CF2LABEL, IMAGE_ONLY, requirements
from src.config.stages import ClassifierTrainingConfig
from src.data.folds import TRAIN, FoldData
from src.data.images.store import ImageStore


def soft_targets(
    cfg: ClassifierTrainingConfig,
    fold: FoldData,
    store: ImageStore,
    hard: np.ndarray,
    labelled: np.ndarray,
    positive_weight: Tensor,
) -> tuple[np.ndarray, np.ndarray]:
    """(1 - lambda) y + lambda p where labels y and probabilities p exist; p where y is missing, y where p is.

    Args:
        cfg: Resolved config; ``method.soft_labels`` names the source of the probabilities.
        fold: The n train items and their labels.
        store: Their images.
        hard: Multi-hot labels y of the train items, [n, N] float32.
        labelled: Whether they may be used, [n] bool.
        positive_weight: Weight of each class's positive term, [N].

    Returns:
        Targets, [n, N] float32, and their weight, [n] float32: 0 where there is none, else 1.

    Raises:
        ArtifactError: The run that gives the probabilities is missing; the message names the command to run.
    """
    sources = requirements(cfg).soft_labels
    given = [_cf2label_probabilities(cfg, fold)] if CF2LABEL in sources else []
    if IMAGE_ONLY in sources:
        given.append((_teacher_probabilities(cfg, fold, store, positive_weight.numpy()), np.ones(len(hard), bool)))
    probs, known = given[0] if len(given) == 1 else combined(given)
    share = np.where(labelled, np.where(known, float(cfg.distill_lambda or 0), 0.0), 1.0).astype(np.float32)[:, None]
    return (1 - share) * hard + share * probs, (labelled | known).astype(np.float32)


def combined(given: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Combine the probabilities of sources by the mean of their log odds.

    A source gives probabilities [n, N] and whether it has each item, [n] bool; so does the result, with float32
    probabilities of 0 for an item that no source has.
    """
    n_sources = np.sum([known for _, known in given], axis=0)[:, None]
    total = np.sum([np.where(known[:, None], log_odds(probs), 0) for probs, known in given], axis=0)
    probs = np.where(n_sources > 0, expit(total / np.maximum(n_sources, 1)), 0).astype(np.float32)
    return probs, n_sources[:, 0] > 0


def log_odds(probs: np.ndarray) -> np.ndarray:
    """Log odds of probabilities or scores between 0 and 1, finite, float64."""
    return logit(np.clip(probs.astype(np.float64), 1e-7, 1 - 1e-7))


def unweighted_probabilities(scores: np.ndarray, positive_weight: np.ndarray) -> np.ndarray:
    """Probabilities [n, N] from scores [n, N] of a network whose loss weighted positive terms by [N].

    With weight w the optimal score s of a class of probability p has s / (1 - s) = w p / (1 - p); solved for p. Classes
    of weight 0 were never learned, and get 0.
    """
    learned = positive_weight > 0
    probs = np.where(learned, scores / np.where(learned, scores + positive_weight * (1 - scores), 1), 0)
    return probs.astype(np.float32)


def _cf2label_probabilities(cfg: ClassifierTrainingConfig, fold: FoldData) -> tuple[np.ndarray, np.ndarray]:
    stored = ItemProbabilities.load(cf2label_run(cfg, fold).require() / PROBABILITIES_FILE)
    row = pd.Index(stored.item_id).get_indexer(fold.split(TRAIN)["item_id"])
    known = row >= 0
    return np.where(known[:, None], stored.probs[row], 0).astype(np.float32), known


def _teacher_probabilities(
    cfg: ClassifierTrainingConfig, fold: FoldData, store: ImageStore, positive_weight: np.ndarray
) -> np.ndarray:
    teacher = FinishedRun.open(teacher_run(cfg, fold).require())
    scores = teacher.score(fold.split(TRAIN)["item_id"].to_numpy(), store, batch_size=2 * cfg.batch_size)
    return unweighted_probabilities(scores, positive_weight)
