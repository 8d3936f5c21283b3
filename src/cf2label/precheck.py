"""Pre-check without images: how well CF vectors predict labels (paper, Table 4)."""

import logging
from typing import Any

import numpy as np
import pandas as pd

from src.artifacts import PRECHECK_FILE, VECTORS_FILE, ItemVectors
from src.cf2label.out_of_fold import out_of_fold_probabilities, warn_of_trivial_labels
from src.config.cf2label import CF2LabelConfig
from src.config.datasets import CLASSIFICATION
from src.config.stages import RecommenderTrainingConfig
from src.data.folds import TRAIN, FoldData
from src.evaluation.statistics.metrics import mean_average_precision
from src.files import load_json, save_json
from src.randomness import derive_seed
from src.recommenders.train import train_recommender
from src.runs import content_hash, is_primary_process, plain

logger = logging.getLogger(__name__)

MIN_LABELLED = 50
"""With fewer labelled items the numbers would be noise."""


def train_and_check(cfg: RecommenderTrainingConfig) -> dict[str, Any]:
    """Train one CF model, and pre-check its vectors; the check is repeated when labels or settings changed.

    Returns:
        The content of ``metrics.json``, and ``pre_check``: the check's result, None for a model without vectors.
    """
    run, data = train_recommender(cfg)
    if not is_primary_process():
        return {}
    if not (run.directory / VECTORS_FILE).is_file():
        return {**run.metrics(), "pre_check": None}
    items = data.split(TRAIN)
    known = items["labels"].map(lambda names: None if names is None else list(names))
    inputs = [items["item_id"].tolist(), items["image_group"].tolist(), known.tolist(), data.label_names]
    digest = content_hash({"cf2label": plain(cfg.cf2label), "items": inputs})
    path = run.directory / PRECHECK_FILE
    saved = load_json(path) if path.is_file() else {}
    if saved.get("digest") != digest:
        result = compute_precheck(ItemVectors.load(run.directory / VECTORS_FILE), data, cfg.cf2label, cfg.seed)
        logger.info("Pre-check, labels predicted from the vectors: %s", result)
        saved = {"digest": digest, "result": result}
        save_json(path, saved)
    return {**run.metrics(), "pre_check": saved["result"]}


def compute_precheck(vectors: ItemVectors, data: FoldData, cfg: CF2LabelConfig, seed: int) -> dict[str, float]:
    """Out-of-fold mAP of CF2Label over the labelled train items that have a vector.

    Returns:
        ``cf2label_mAP``; ``shuffled_mAP``, the same with vectors permuted across items; ``popularity_mAP``, constant
        scores; ``n_items``. Without at least 50 labelled items, without labels, or for regression, ``n_items`` alone.
    """
    items = data.split(TRAIN)
    if data.task != CLASSIFICATION:
        return {"n_items": len(items)}
    items = items[items["labels"].notna() & items["item_id"].isin(vectors.item_id)]
    targets = data.targets(items)
    result: dict[str, float] = {"n_items": len(items)}
    if len(items) < MIN_LABELLED or not targets.any():
        return result
    warn_of_trivial_labels(targets, data.label_names)
    inputs = vectors.vectors[pd.Index(vectors.item_id).get_indexer(items["item_id"])]
    groups = items["image_group"].to_numpy(dtype=np.str_)
    shuffled = inputs[np.random.default_rng(derive_seed(seed, "shuffle")).permutation(len(inputs))]
    labelled, check_seed = np.ones(len(items), dtype=bool), derive_seed(seed, "pre-check")
    for name, candidate in (("cf2label_mAP", inputs), ("shuffled_mAP", shuffled)):
        predicted = out_of_fold_probabilities(candidate, targets, labelled, groups, cfg, check_seed)
        result[name] = predicted.mean_average_precision
    result["popularity_mAP"] = mean_average_precision(targets, np.tile(targets.mean(axis=0), (len(targets), 1)))
    return result
