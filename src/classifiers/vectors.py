"""CF vectors as training targets: loaded, checked against the fold, joined by item, and permuted for controls."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from src.artifacts import VECTORS_FILE, ItemVectors
from src.classifiers.settings import CF2LABEL, ratio_key, vectors_run
from src.config import ClassifierTrainingConfig
from src.data.folds import CONTEXT, HELD_OUT_INTERACTIONS, TRAIN, FoldData
from src.errors import ArtifactError
from src.runs import derive_seed


@dataclass(frozen=True)
class CFVectors:
    """CF vectors of given items, rows aligned with them.

    Attributes:
        vectors: [n, f] float32, zero where there is none.
        bias: [n] float32.
        n_users: [n] int64, users who interacted with the item.
        present: [n] bool, whether the item has a vector.
    """

    vectors: np.ndarray
    bias: np.ndarray
    n_users: np.ndarray
    present: np.ndarray


def load_vectors(cfg: ClassifierTrainingConfig, fold: FoldData, items: pd.DataFrame) -> CFVectors:
    """CF vectors of ``items`` (train items), as ``method.vectors`` says: real, permuted across items, or random.

    Raises:
        ArtifactError: The vectors are missing (the message is the command that makes them), damaged, hold ids that the
            dataset does not have, or vectors of held-out items.
    """
    run = vectors_run(cfg, fold)
    stored = run.load_vectors()
    _check_ids(stored, fold, run.directory, HELD_OUT_INTERACTIONS in cfg.leaks)
    row = pd.Index(stored.item_id).get_indexer(items["item_id"])
    present = row >= 0
    vectors = np.where(present[:, None], stored.vectors[row], 0).astype(np.float32)
    bias = np.where(present, stored.bias[row], 0).astype(np.float32)
    n_users = np.where(present, stored.n_users[row], 0)
    if cfg.method.vectors == "cf":
        return CFVectors(vectors, bias, n_users, present)
    rng = np.random.default_rng(derive_seed(cfg.seed, cfg.method.vectors, "vectors"))
    if cfg.method.vectors == "random":
        vectors = np.where(present[:, None], rng.standard_normal(vectors.shape), 0).astype(np.float32)
        return CFVectors(vectors, bias, n_users, present)
    order = np.arange(len(items))
    order[present] = rng.permutation(order[present])
    return CFVectors(vectors[order], bias[order], n_users[order], present)


def cf2label_command(cfg: ClassifierTrainingConfig) -> str:
    """The command that makes the CF2Label run which the config needs."""
    parts = [
        f"python main_train_classifier.py dataset={cfg.dataset.name} recommender={cfg.recommender.name}",
        f"method={CF2LABEL} label_ratio={ratio_key(cfg.label_ratio)} fold={cfg.fold} seed={cfg.seed}",
    ]
    parts += [f"recommender_seed={cfg.recommender_seed}"] if cfg.recommender_seed != cfg.seed else []
    parts += [f"mask_seed={cfg.mask_seed}"] if cfg.mask_seed else []
    parts += [f"method.vectors={cfg.method.vectors}"] if cfg.method.vectors != "cf" else []
    return " ".join(parts)


def _check_ids(stored: ItemVectors, fold: FoldData, directory: Path, may_leak: bool) -> None:
    split = pd.Series(fold.items["split"].to_numpy(), index=fold.items["item_id"]).reindex(stored.item_id)
    foreign = stored.item_id[split.isna().to_numpy()]
    if len(foreign):
        raise ArtifactError(
            f"{directory / VECTORS_FILE} holds {len(foreign)} items that the dataset does not have, first "
            f"{str(foreign[0])!r}; it belongs to another dataset. Delete {directory} and train the recommender again."
        )
    held_out = stored.item_id[~split.isin([TRAIN, CONTEXT]).to_numpy()]
    if len(held_out) and not may_leak:
        raise ArtifactError(
            f"{directory / VECTORS_FILE} holds vectors of {len(held_out)} validation or test items of this fold, first "
            f"{str(held_out[0])!r}; training on them would leak. Train the recommender of this fold."
        )
