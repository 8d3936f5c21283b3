"""Soft labels: what CF2Label, or a network that saw no CF, holds probable for each train item."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit, xlogy
from torch import Tensor

from src.artifacts import PROBABILITIES_FILE, ItemProbabilities
from src.classifiers.inference import score_items
from src.classifiers.settings import CF2LABEL, IMAGE_ONLY, cf2label_run, ratio_key, requirements, teacher_run
from src.classifiers.vectors import cf2label_command, load_vectors
from src.config import ClassifierTrainingConfig
from src.data.folds import TRAIN, FoldData
from src.data.store import ImageStore
from src.errors import ArtifactError
from src.runs import is_finished, run_directory


def soft_targets(
    cfg: ClassifierTrainingConfig,
    fold: FoldData,
    store: ImageStore,
    hard: np.ndarray,
    labelled: np.ndarray,
    positive_weight: Tensor,
) -> tuple[np.ndarray, np.ndarray]:
    """(1 - lambda) y + lambda p where labels y and probabilities p exist; p alone where y misses; y where p misses.

    Args:
        cfg: Resolved config; ``method.soft_labels`` says whose probabilities, ``method.temperature`` how soft.
        fold: The n train items and their labels.
        store: Their images.
        hard: Multi-hot labels y of the train items, [n, N] float32.
        labelled: Whether they may be used, [n] bool.
        positive_weight: Weight of each class's positive term in the training of all methods, [N].

    Returns:
        Targets, [n, N] float32, and how much each counts, [n] float32: 0 where there is none, 1 where labels are known,
        as ``method.soft_weight`` says elsewhere, there 1 on average.

    Raises:
        ArtifactError: The run that gives the probabilities is missing; the message says what to run.
    """
    sources = requirements(cfg).soft_labels
    given = [_cf2label_probabilities(cfg, fold)] if CF2LABEL in sources else []
    if IMAGE_ONLY in sources:
        given.append((_teacher_probabilities(cfg, fold, store, positive_weight.numpy()), np.ones(len(hard), bool)))
    probs, known = given[0] if len(given) == 1 else combined(given)
    probs = tempered(probs, cfg.method.temperature)
    share = np.where(labelled, np.where(known, float(cfg.distill_lambda or 0), 0.0), 1.0).astype(np.float32)[:, None]
    weight = labelled.astype(np.float32)
    alone = known & ~labelled
    if alone.any():
        if cfg.method.soft_weight == "n_users":
            raw = np.sqrt(load_vectors(cfg, fold, fold.split(TRAIN)).n_users[alone])
        elif cfg.method.soft_weight == "certainty":
            raw = certainty(probs[alone], hard[labelled].mean(axis=0))
        else:
            raw = np.ones(int(alone.sum()))
        weight[alone] = raw / max(float(raw.mean()), 1e-12)
    return (1 - share) * hard + share * probs, weight


def combined(given: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities at the mean of the sources' log odds, over those that know the item.

    Args:
        given: Of each source the probabilities, [n, N], and whether it knows the item, [n] bool.

    Returns:
        Probabilities, [n, N] float32, 0 for an item that no source knows, and whether one does, [n] bool.
    """
    n_sources = np.sum([known for _, known in given], axis=0)[:, None]
    total = np.sum([np.where(known[:, None], log_odds(probs), 0) for probs, known in given], axis=0)
    probs = np.where(n_sources > 0, expit(total / np.maximum(n_sources, 1)), 0).astype(np.float32)
    return probs, n_sources[:, 0] > 0


def log_odds(probs: np.ndarray) -> np.ndarray:
    """Log odds of probabilities or scores between 0 and 1, finite, float64."""
    result: np.ndarray = logit(np.clip(probs.astype(np.float64), 1e-7, 1 - 1e-7))
    return result


def tempered(probs: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities whose logits are divided by ``temperature``; 1 leaves them as they are."""
    if temperature == 1:
        return probs
    result: np.ndarray = expit(log_odds(probs) / temperature).astype(np.float32)
    return result


def certainty(probs: np.ndarray, prevalence: np.ndarray) -> np.ndarray:
    """How much less uncertain [k, N] probabilities are than the labels' frequencies [N]: 1 - H(p) / H(prevalence), [k].

    Negative values count as 0.
    """

    def entropy(values: np.ndarray) -> np.ndarray:
        result: np.ndarray = (-xlogy(values, values) - xlogy(1 - values, 1 - values)).sum(axis=-1)
        return result

    prior = max(float(entropy(prevalence.astype(np.float64))), 1e-12)
    return np.clip(1 - entropy(probs.astype(np.float64)) / prior, 0, None)


def cf2label_directory(cfg: ClassifierTrainingConfig, fold: FoldData) -> Path:
    """The finished CF2Label run that the config needs; raises ``ArtifactError`` when there is none."""
    return _finished(cf2label_run(cfg, fold), "CF2Label", "dataset, recommender or cf2label", cf2label_command(cfg))


def unweighted_probabilities(scores: np.ndarray, positive_weight: np.ndarray) -> np.ndarray:
    """Probabilities from the scores of a network whose loss weighted positive terms.

    With weight w the best score s of a class of probability p has s / (1 - s) = w p / (1 - p); solved for p. Classes
    of weight 0 were never learned, and get 0.

    Args:
        scores: [n, N], 0 to 1.
        positive_weight: [N].
    """
    learned = positive_weight > 0
    probs: np.ndarray = np.where(learned, scores / np.where(learned, scores + positive_weight * (1 - scores), 1), 0)
    return probs.astype(np.float32)


def _cf2label_probabilities(cfg: ClassifierTrainingConfig, fold: FoldData) -> tuple[np.ndarray, np.ndarray]:
    stored = ItemProbabilities.load(cf2label_directory(cfg, fold) / PROBABILITIES_FILE)
    row = pd.Index(stored.item_id).get_indexer(fold.split(TRAIN)["item_id"])
    known = row >= 0
    return np.where(known[:, None], stored.probs[row], 0).astype(np.float32), known


def _teacher_probabilities(
    cfg: ClassifierTrainingConfig, fold: FoldData, store: ImageStore, positive_weight: np.ndarray
) -> np.ndarray:
    run = teacher_run(cfg, fold)
    command = (
        f"python main_train_classifier.py dataset={cfg.dataset.name} backbone={cfg.backbone.name} method={IMAGE_ONLY} "
        f"label_ratio={ratio_key(cfg.label_ratio)} fold={cfg.fold} seed={cfg.seed}"
    )
    directory = _finished(run, IMAGE_ONLY, "settings, image_size, epochs or the like", command)
    item_id = fold.split(TRAIN)["item_id"].to_numpy()
    scores = score_items(directory, run[2], fold, store, item_id, batch_size=2 * cfg.batch_size)
    return unweighted_probabilities(scores, positive_weight)


def _finished(run: tuple[Path, str, Mapping[str, Any]], what: str, overrides: str, command: str) -> Path:
    directory = run_directory(*run)
    if not is_finished(directory):
        raise ArtifactError(
            f"No {what} results of these settings in {directory}; run (with your overrides of {overrides}, if any): "
            f"{command}"
        )
    return directory
