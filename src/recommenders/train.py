"""Stage "CF vectors": measure a CF model on held-out interactions, then fit it on all and export its item vectors."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from src.artifacts import (
    CURVES_FILE,
    PRECHECK_FILE,
    PREPARED,
    VECTORS_FILE,
    ItemVectors,
    load_json,
    save_json,
    save_text,
)
from src.config import RecommenderTrainingConfig
from src.data.folds import TRAIN, FoldData, open_fold
from src.recommenders.auc import recommender_auc
from src.recommenders.build import build_recommender, check_recommender
from src.recommenders.interactions import UserItem, build_user_item, hold_out
from src.recommenders.locate import RecommenderRun
from src.runs import Run, content_hash, derive_seed, is_primary_process, plain

logger = logging.getLogger(__name__)


def train_recommender(cfg: RecommenderTrainingConfig) -> dict[str, Any]:
    """Train and measure one CF model on one fold; a finished run is reported, not repeated.

    Returns:
        The content of ``metrics.json``, and under ``pre_check`` what the vectors know of the labels.

    Raises:
        ConfigError: A setting is out of range.
        DataError: The fold's train items have no interactions.
    """
    check_recommender(cfg.recommender)
    dataset_dir = Path(cfg.outputs_dir) / cfg.dataset.name
    data = open_fold(dataset_dir / PREPARED, cfg.fold, cfg.leaks)
    user_item = build_user_item(data.train_interactions)
    located = RecommenderRun(dataset_dir, cfg.recommender, cfg.fold, cfg.seed, data.interactions_digest, cfg.leaks)
    with Run(located.parent, located.name, located.definition, force=cfg.force) as run:
        if run.finished:
            logger.info("%s is finished; force=true trains it anew.", run.directory)
        else:
            metrics = {**_measure(cfg, user_item), **_count(user_item)}
            _export(cfg, user_item, run.directory)
            if not is_primary_process():  # of several that fitted together, the first one writes
                return metrics
            run.finish(cfg, metrics)
        return {**run.metrics(), "pre_check": _precheck(cfg, data, run.directory)}


def _measure(cfg: RecommenderTrainingConfig, user_item: UserItem) -> dict[str, Any]:
    """Fit on the interactions that are not held out, and compute the AUC on the others."""
    rng = np.random.default_rng(derive_seed(cfg.seed, "recommender hold-out"))
    train, test = hold_out(user_item.matrix, cfg.recommender.auc_holdout, rng)
    model = build_recommender(cfg.recommender, cfg.trainer)
    logger.info(
        "Fitting %s on %d of %d interactions for its AUC.", cfg.recommender.name, train.nnz, train.nnz + test.nnz
    )
    model.fit(train, derive_seed(cfg.seed, "recommender measured"))
    if not is_primary_process():
        return {}
    auc = asdict(recommender_auc(model.user_scores, train, test))
    logger.info("%s: AUC %.4f on %d held-out interactions.", cfg.recommender.name, auc["strict"], test.nnz)
    return {f"auc_{name}": value for name, value in auc.items()}


def _export(cfg: RecommenderTrainingConfig, user_item: UserItem, directory: Path) -> None:
    """Fit on all interactions, and write item vectors and the training curve, if the model has them."""
    model = build_recommender(cfg.recommender, cfg.trainer)
    logger.info("Fitting %s on all %d interactions.", cfg.recommender.name, user_item.matrix.nnz)
    model.fit(user_item.matrix, derive_seed(cfg.seed, "recommender exported"))
    factors = model.item_factors()
    if not is_primary_process():
        return
    if factors is not None:
        vectors = ItemVectors(user_item.item_id, factors.vectors, factors.bias, user_item.n_users_per_item)
        vectors.save(directory / VECTORS_FILE)
    if model.curve:
        save_text(directory / CURVES_FILE, pd.DataFrame(model.curve).to_csv(index=False))


def _count(user_item: UserItem) -> dict[str, int]:
    n_users, n_items = user_item.matrix.shape
    return {
        "n_users": n_users,
        "n_items": n_items,
        "n_interactions": user_item.matrix.nnz,
        "n_users_with_one_interaction": int((np.diff(user_item.matrix.indptr) == 1).sum()),
    }


def _precheck(cfg: RecommenderTrainingConfig, data: FoldData, directory: Path) -> dict[str, float] | None:
    """What the exported vectors know of the labels; kept beside them, and redone when labels or settings changed."""
    from src.recommenders.precheck import compute_precheck

    if not (directory / VECTORS_FILE).is_file():
        return None
    items = data.split(TRAIN)
    known = items["labels"].map(lambda names: None if names is None else list(names))
    inputs = [items["item_id"].tolist(), items["image_group"].tolist(), known.tolist(), data.label_names]
    digest = content_hash({"cf2label": plain(cfg.cf2label), "items": inputs})
    path = directory / PRECHECK_FILE
    if path.is_file() and (saved := load_json(path))["digest"] == digest:
        result: dict[str, float] = saved["result"]
        return result
    result = compute_precheck(ItemVectors.load(directory / VECTORS_FILE), data, cfg.cf2label, cfg.seed)
    logger.info("Pre-check, what the vectors know of the labels: %s", result)
    save_json(path, {"digest": digest, "result": result})
    return result
