"""``method=cf2label``: out-of-fold label probabilities from CF vectors, and the confidence of each vector."""

from typing import Any

import numpy as np

from src.artifacts import CONFIDENCE_FILE, CONFIG_FILE, PROBABILITIES_FILE, ItemConfidence, ItemProbabilities
from src.cf2label.out_of_fold import item_confidence, out_of_fold_probabilities, warn_of_trivial_labels
from src.config.stages import ClassifierTrainingConfig
from src.data.folds import TRAIN, FoldData, label_mask
from src.errors import DataError
from src.files import save_yaml
from src.recommenders.vectors import CFVectors
from src.runs import Run, plain


def fit_cf2label(cfg: ClassifierTrainingConfig, fold: FoldData, cf: CFVectors, run: Run) -> dict[str, Any]:
    """Run CF2Label on the train items that have a vector in ``cf``, into ``run``'s directory; returns its metrics.

    Raises:
        DataError: No item has both a vector and a label.

    Source: paper, section 4.2 and table 4.
    """
    train = fold.split(TRAIN)
    items = train[cf.present].reset_index(drop=True)
    item_id = items["item_id"].to_numpy().astype(np.str_)
    labelled = items["labels"].notna().to_numpy() & label_mask(item_id, cfg.label_ratio, cfg.mask_seed)
    if not labelled.any():
        raise DataError("No train item has both a CF vector and a label; raise label_ratio, or use image_only.")
    targets = fold.targets(items) * labelled[:, None]
    warn_of_trivial_labels(targets[labelled], fold.label_names)
    groups = items["image_group"].to_numpy()
    result = out_of_fold_probabilities(cf.vectors[cf.present], targets, labelled, groups, cfg.cf2label, seed=cfg.seed)
    probabilities = ItemProbabilities(item_id, np.array(fold.label_names), result.probs, result.fold)
    probabilities.save(run.directory / PROBABILITIES_FILE)
    confidence = item_confidence(result.probs, targets, labelled)
    ItemConfidence(item_id, confidence).save(run.directory / CONFIDENCE_FILE)
    save_yaml(run.directory / CONFIG_FILE, plain(cfg))
    return {
        "mAP": result.mean_average_precision,
        "n_items": len(items),
        "n_labelled": int(labelled.sum()),
        "n_without_vector": int((~cf.present).sum()),
    }
