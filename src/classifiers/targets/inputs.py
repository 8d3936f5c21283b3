"""Inputs of one fine-tuning run: images, targets and masks of its train items, and its validation items."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from src.artifacts import CONFIDENCE_FILE, ItemConfidence
from src.classifiers.losses import positive_weights
from src.classifiers.runs import cf2label_run
from src.classifiers.settings import requirements
from src.classifiers.targets.confidence import bounded_confidence
from src.classifiers.targets.soft_labels import soft_targets
from src.classifiers.targets.vectors import train_vectors
from src.classifiers.task import TASKS
from src.config.stages import ClassifierTrainingConfig
from src.data.folds import TRAIN, VAL, FoldData, label_mask
from src.data.images.store import ImageStore
from src.errors import DataError
from src.recommenders.vectors import CFVectors

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingInputs:
    """Arrays over the n train items that have an image, plus the validation items.

    Attributes:
        item_id: [n] str.
        image_row: First row of the item's images in the store, [n] int64.
        n_images: How many there are, [n] int64.
        labelled: Whether the item's labels are known and kept by the label ratio, [n] bool.
        targets: Label targets, hard or soft, [n, N] float32.
        target_weight: How much ``targets`` counts, [n] float32: 0 where neither labels nor soft labels exist.
        cf_target: [n, f] float32; f = 0 where the method needs none.
        has_cf_target: [n] bool.
        confidence: omega, mean 1 over items with a CF target, [n] float32.
        nearest: Index of the nearest other train item in CF space, [n] int64 (itself where there is none).
        positive_weight: Weight of each class's positive term, [N] float32.
        target_scale: Mean and deviation by which ``targets`` and ``val_targets`` were standardised, [2, N] float32;
            None for classes.
        cf_scale: Mean and deviation by which ``cf_target`` was standardised, [2, f] float32 (0 and 1: it was not);
            None without vectors of a CF model.
        val_images: Rows of the validation images in the store and places of their items, as ``images_of`` has them.
        val_targets: Their labels, [m, N] uint8.
        counts: What was used and left out, for the metrics file.
    """

    item_id: np.ndarray
    image_row: np.ndarray
    n_images: np.ndarray
    labelled: np.ndarray
    targets: Tensor
    target_weight: Tensor
    cf_target: Tensor
    has_cf_target: Tensor
    confidence: Tensor
    nearest: np.ndarray
    positive_weight: Tensor
    val_images: tuple[np.ndarray, np.ndarray]
    val_targets: np.ndarray
    target_scale: Tensor | None
    cf_scale: Tensor | None
    counts: dict[str, Any]

    @property
    def unlabelled(self) -> np.ndarray:
        """Indices of unlabelled train items that have a soft label or a CF target, [k] int64."""
        return np.flatnonzero(~self.labelled & ((self.target_weight > 0) | self.has_cf_target).numpy())


def build_inputs(cfg: ClassifierTrainingConfig, fold: FoldData, store: ImageStore) -> TrainingInputs:
    """Build the inputs of a resolved config.

    Raises:
        ArtifactError: An earlier stage's file is missing or does not fit; the message names the command to run.
        DataError: No train item is labelled, or no validation item.
    """
    needs = requirements(cfg)
    train, val = fold.split(TRAIN), fold.split(VAL)
    known = train["labels"].notna().to_numpy()
    labelled = known & label_mask(train["item_id"].to_numpy(), cfg.label_ratio, cfg.mask_seed)
    val = val[val["labels"].notna()]
    if not labelled.any() or val.empty:
        what = "validation item has known labels" if labelled.any() else "train item is labelled"
        how = "label more items, or let image_group (report.json counts the groups) join fewer of them"
        how = how if labelled.any() or cfg.label_ratio == 1 else "raise the label ratio"
        raise DataError(f"No {what} in fold {cfg.fold} at label ratio {cfg.label_ratio:g}; {how}.")
    if needs.soft_labels or needs.confidence:
        fold.require_classes(f"method={cfg.method.name}")
    hard, val_targets, scale = TASKS[fold.task].targets(fold, train, val, labelled)
    vectors = train_vectors(cfg, fold) if needs.vectors else None
    cf_target, cf_scale = _cf_targets(cfg, vectors, len(train))
    positive_weight = positive_weights(torch.from_numpy(hard.sum(0)), int(labelled.sum()), cfg.loss.class_weighting)
    targets, target_weight = hard, labelled.astype(np.float32)
    if needs.soft_labels:
        targets, target_weight = soft_targets(cfg, fold, store, hard, labelled, positive_weight)
    no_positives = [name for name, weight in zip(fold.label_names, positive_weight, strict=True) if weight == 0]
    if no_positives:
        logger.warning("%d classes have no labelled positive in training and get weight 0.", len(no_positives))
    first, n_images = store.ranges(train["item_id"])
    has_cf_target = np.zeros(len(train), dtype=bool) if vectors is None else vectors.present
    counts = {
        "n_train": len(train),
        "n_labelled": int(labelled.sum()),
        "n_labels_unknown": int((~known).sum()),
        "n_with_cf_target": int(has_cf_target.sum()),
        "n_with_soft_target": int(((target_weight > 0) & ~labelled).sum()),
        "n_val": len(val),
        "classes_without_labelled_positives": no_positives,
    }
    return TrainingInputs(
        item_id=train["item_id"].to_numpy().astype(np.str_),
        image_row=first,
        n_images=n_images,
        labelled=labelled,
        targets=torch.from_numpy(targets),
        target_weight=torch.from_numpy(target_weight),
        cf_target=torch.from_numpy(cf_target),
        has_cf_target=torch.from_numpy(has_cf_target),
        confidence=torch.from_numpy(_confidence(cfg, fold, train, vectors)),
        nearest=_nearest(cfg, vectors, len(train)),
        positive_weight=positive_weight,
        val_images=store.images_of(val["item_id"]),
        val_targets=val_targets,
        target_scale=scale,
        cf_scale=cf_scale,
        counts=counts,
    )


def _cf_targets(
    cfg: ClassifierTrainingConfig, vectors: CFVectors | None, n_items: int
) -> tuple[np.ndarray, Tensor | None]:
    """CF targets [n, f] float32, f = 0 without vectors, and their scale: None for a control."""
    if vectors is None:
        return np.zeros((n_items, 0), dtype=np.float32), None
    target = np.column_stack([vectors.vectors, vectors.bias]) if cfg.loss.use_bias else vectors.vectors
    mean, deviation = np.zeros(target.shape[1]), np.ones(target.shape[1])
    if cfg.standardize_vectors:
        mean, deviation = target[vectors.present].mean(0), np.maximum(target[vectors.present].std(0), 1e-6)
        target = np.where(vectors.present[:, None], (target - mean) / deviation, 0)
    scale = torch.from_numpy(np.stack([mean, deviation]).astype(np.float32))
    return np.ascontiguousarray(target, dtype=np.float32), scale if cfg.method.vectors == "cf" else None


def _confidence(
    cfg: ClassifierTrainingConfig, fold: FoldData, train: pd.DataFrame, vectors: CFVectors | None
) -> np.ndarray:
    confidence = np.zeros(len(train), dtype=np.float32)
    if vectors is None:
        return confidence
    present = vectors.present
    if cfg.method.confidence.scheme == "uniform":
        raw = np.ones(int(present.sum()))
    elif cfg.method.confidence.scheme == "interaction":
        raw = np.sqrt(vectors.n_users[present])
    else:
        stored = ItemConfidence.load(cf2label_run(cfg, fold).require() / CONFIDENCE_FILE)
        raw = pd.Series(stored.confidence, index=stored.item_id).reindex(train["item_id"][present]).to_numpy()
    confidence[present] = bounded_confidence(raw, cfg.method.confidence)
    return confidence


def _nearest(cfg: ClassifierTrainingConfig, vectors: CFVectors | None, n_items: int) -> np.ndarray:
    nearest = np.arange(n_items)
    if vectors is None or cfg.method.auxiliary_loss != "contrastive" or vectors.present.sum() < 2:
        return nearest
    index = np.flatnonzero(vectors.present)
    search = NearestNeighbors(n_neighbors=1).fit(vectors.vectors[index])
    nearest[index] = index[search.kneighbors(return_distance=False)[:, 0]]
    return nearest
