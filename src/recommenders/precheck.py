"""Pre-check before any image is read: how much of the labels the CF vectors know (paper, Table 4)."""

import numpy as np

from src.artifacts import ItemVectors
from src.config import CF2LabelConfig
from src.data.folds import TRAIN, FoldData
from src.evaluation.metrics import mean_average_precision
from src.recommenders.cf2label import out_of_fold_probabilities
from src.runs import derive_seed

MIN_LABELLED = 50
"""With fewer labelled items the numbers would say nothing."""


def compute_precheck(vectors: ItemVectors, data: FoldData, cfg: CF2LabelConfig, seed: int) -> dict[str, float]:
    """Out-of-fold mAP of CF2Label over the labelled train items that have a vector.

    Returns:
        ``cf2label_mAP``; ``shuffled_mAP``, the same with vectors permuted across items; ``popularity_mAP``, constant
        scores; ``n_items``. Without at least 50 labelled items, without labels, or for regression, ``n_items`` alone.
    """
    items = data.split(TRAIN)
    if data.regression:
        return {"n_items": len(items)}
    items = items[items["labels"].notna() & items["item_id"].isin(vectors.item_id)]
    targets = data.targets(items)
    result: dict[str, float] = {"n_items": len(items)}
    if len(items) < MIN_LABELLED or not targets.any():
        return result
    row = {item: index for index, item in enumerate(vectors.item_id)}
    inputs = vectors.vectors[[row[item] for item in items["item_id"]]]
    groups = items["image_group"].to_numpy(dtype=np.str_)
    shuffled = inputs[np.random.default_rng(derive_seed(seed, "shuffle")).permutation(len(inputs))]
    labelled = np.ones(len(items), dtype=bool)
    for name, candidate in (("cf2label_mAP", inputs), ("shuffled_mAP", shuffled)):
        result[name] = out_of_fold_probabilities(
            candidate, targets, labelled, groups, cfg, derive_seed(seed, "pre-check")
        ).mean_average_precision
    result["popularity_mAP"] = mean_average_precision(targets, np.tile(targets.mean(axis=0), (len(targets), 1)))
    return result
