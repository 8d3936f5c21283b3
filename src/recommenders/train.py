"""Stage "CF vectors": measure a CF model on held-out interactions, then fit it on all and export its item vectors."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from src.artifacts import CURVES_FILE, PREPARED, VECTORS_FILE, ItemVectors
from src.config.setting import check
from src.config.stages import RecommenderTrainingConfig
from src.data.folds import FoldData, open_fold
from src.files import save_text
from src.randomness import derive_seed
from src.recommenders.auc import recommender_auc
from src.recommenders.base import Recommender
from src.recommenders.interactions import UserItem, build_user_item, count_users
from src.recommenders.run import dataset_dir, recommender_run
from src.runs import Run, is_primary_process

logger = logging.getLogger(__name__)


def train_recommender(cfg: RecommenderTrainingConfig) -> tuple[Run, FoldData]:
    """Train and measure one CF model on one fold; a finished run is reported, not repeated.

    Returns:
        The run, whose ``metrics.json`` has the AUC, and the fold.

    Raises:
        ConfigError: Settings do not fit together.
        DataError: The fold's train items have no interactions.
    """
    check(cfg)
    data = open_fold(dataset_dir(cfg) / PREPARED, cfg.fold, cfg.leaks)
    run = recommender_run(cfg, data.interactions_digest)
    with run.locked(force=cfg.force):
        if run.finished:
            logger.info("%s is finished; force=true trains it anew.", run.directory)
            return run, data
        if (given := cfg.recommender.given(cfg, data)) is not None:
            vectors, metrics = given
            vectors.save(run.directory / VECTORS_FILE)
        else:
            user_item = build_user_item(data.train_interactions, data.items["item_id"].to_numpy())
            metrics = {**_measure(cfg, user_item), **_count(user_item)}
            _export(cfg, user_item, run.directory)
        if is_primary_process():  # of several that fitted together, the first one writes
            run.finish(cfg, metrics)
    return run, data


def _measure(cfg: RecommenderTrainingConfig, user_item: UserItem) -> dict[str, Any]:
    """Fit on the interactions that are not held out, and compute the AUC on the others."""
    rest, chosen, test = user_item.split(cfg.fold, cfg.recommender.auc_holdout)
    train = rest + chosen
    model = cfg.recommender.build(cfg.trainer)
    logger.info(
        "Fitting %s on %d of %d interactions for its AUC.", cfg.recommender.name, train.nnz, train.nnz + test.nnz
    )
    model.fit(train, derive_seed(cfg.seed, "recommender measured"))
    if not is_primary_process():
        return {}
    auc = asdict(recommender_auc(model.user_scores, train, test))
    logger.info("%s: AUC %.4f on %d held-out interactions.", cfg.recommender.name, auc["strict"], test.nnz)
    return {f"auc_{name}": value for name, value in auc.items()}


def fit_on_all(cfg: RecommenderTrainingConfig, user_item: UserItem) -> Recommender:
    """The CF model whose vectors are exported: fitted on all interactions; on a CPU, always the same."""
    model: Recommender = cfg.recommender.build(cfg.trainer, user_item.item_id)
    logger.info("Fitting %s on all %d interactions.", cfg.recommender.name, user_item.matrix.nnz)
    model.fit(user_item.matrix, derive_seed(cfg.seed, "recommender exported"))
    return model


def _export(cfg: RecommenderTrainingConfig, user_item: UserItem, directory: Path) -> None:
    """Fit on all interactions, and write item vectors and the training curve, if the model has them."""
    model = fit_on_all(cfg, user_item)
    factors = model.item_factors()
    if not is_primary_process():
        return
    if factors is not None:
        vectors = ItemVectors(user_item.item_id, factors.vectors, factors.bias, count_users(user_item.matrix))
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
