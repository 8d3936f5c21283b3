"""CF vectors of the train items, of the kind that a method learns from, and the features of their images."""

import numpy as np
import pandas as pd
import torch

from src.classifiers.models.evaluation_batches import average
from src.classifiers.models.features import FrozenFeatures
from src.classifiers.runs import features_run, vectors_run
from src.classifiers.targets.image_prior import with_image_prior
from src.config.stages import HELD_OUT_INTERACTIONS, ClassifierTrainingConfig
from src.data.folds import TRAIN, FoldData
from src.data.images.store import ImageStore
from src.recommenders.vectors import CFVectors, load_vectors


def train_vectors(cfg: ClassifierTrainingConfig, fold: FoldData) -> CFVectors:
    """CF vectors of the n train items, of the kind ``method.vectors``, with the image as prior if the method has one.

    Raises:
        ArtifactError: The CF vectors are missing (the message has the command that makes them) or do not fit.
    """
    run, items, may_leak = vectors_run(cfg, fold), fold.split(TRAIN), HELD_OUT_INTERACTIONS in cfg.leaks
    vectors = load_vectors(run, fold, items, kind=cfg.method.vectors, seed=cfg.seed, may_leak=may_leak)
    if cfg.method.prior_users is None:
        return vectors
    groups = items["image_group"].to_numpy()
    return with_image_prior(vectors, item_features(cfg, fold, items), groups, cfg.method.prior_users)


def item_features(cfg: ClassifierTrainingConfig, fold: FoldData, items: pd.DataFrame) -> np.ndarray:
    """Frozen features of items [n], mean over their images and views, [n, F] float32; made first where missing."""
    store = ImageStore.open(fold.images_dir)
    rows, place = store.images_of(items["item_id"])
    of_images = FrozenFeatures.of(features_run(cfg, fold), cfg, store).array[rows].mean(axis=1, dtype=np.float32)
    return average(torch.from_numpy(of_images), torch.from_numpy(place), len(items)).numpy()
