"""CF vectors as training targets: loaded, checked against the fold, joined by item; controls permute them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from src.artifacts import VECTORS_FILE, ItemVectors
from src.data.folds import CONTEXT, TRAIN, FoldData
from src.errors import ArtifactError
from src.randomness import derive_seed
from src.runs import Run


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


def load_vectors(
    run: Run, fold: FoldData, items: pd.DataFrame, *, kind: str = "cf", seed: int = 0, may_leak: bool = False
) -> CFVectors:
    """CF vectors of some train items by a CF model's run: real ones (``cf``), ``shuffled``, or ``random`` normal ones.

    ``seed`` is that of the permutation or the random vectors. With ``may_leak`` there may be vectors of validation and
    test items.

    Raises:
        ArtifactError: The vectors are missing (the message has the command that makes them), damaged, hold ids that the
            dataset does not have, or vectors of held-out items.
    """
    stored = ItemVectors.load(run.require() / VECTORS_FILE)
    _check_ids(stored, fold, run.directory, may_leak)
    row = pd.Index(stored.item_id).get_indexer(items["item_id"])
    present = row >= 0
    vectors = np.where(present[:, None], stored.vectors[row], 0).astype(np.float32)
    bias = np.where(present, stored.bias[row], 0).astype(np.float32)
    n_users = np.where(present, stored.n_users[row], 0)
    rng = np.random.default_rng(derive_seed(seed, kind, "vectors"))
    order = np.arange(len(items))
    if kind == "random":
        vectors = np.where(present[:, None], rng.standard_normal(vectors.shape), 0).astype(np.float32)
    elif kind == "shuffled":
        order[present] = rng.permutation(order[present])
    return CFVectors(vectors[order], bias[order], n_users[order], present)


def _check_ids(stored: ItemVectors, fold: FoldData, directory: Path, may_leak: bool) -> None:
    split = pd.Series(fold.items["split"].to_numpy(), index=fold.items["item_id"]).reindex(stored.item_id)
    foreign = stored.item_id[split.isna().to_numpy()]
    if len(foreign):
        raise ArtifactError(
            f"{directory / VECTORS_FILE} has {len(foreign)} items that the dataset does not have, first "
            f"{str(foreign[0])!r}; it belongs to another dataset. Delete {directory} and train the recommender again."
        )
    held_out = stored.item_id[~split.isin([TRAIN, CONTEXT]).to_numpy()]
    if len(held_out) and not may_leak:
        raise ArtifactError(
            f"{directory / VECTORS_FILE} has vectors of {len(held_out)} validation or test items of this fold, first "
            f"{str(held_out[0])!r}; training on them would leak. Train the recommender of this fold."
        )
