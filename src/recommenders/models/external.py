"""Item vectors of one's own, made elsewhere: read from a file and matched by id instead of fitted."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa
from omegaconf import MISSING
from pyarrow import parquet

from src.artifacts import ITEM_IDX, ItemVectors, check_rows
from src.config.classifiers import TrainerConfig
from src.config.setting import option, setting
from src.config.stages import HELD_OUT_INTERACTIONS, RecommenderTrainingConfig
from src.config.store import schema
from src.data.folds import CONTEXT, TRAIN, FoldData
from src.errors import ConfigError, DataError
from src.files import sha256_of_file
from src.recommenders.base import RecommenderConfig

logger = logging.getLogger(__name__)


@schema("recommender", "external")
@dataclass
class ExternalConfig(RecommenderConfig):
    """Item vectors of one's own, of any width, from a file; they have no AUC, since nothing is fitted."""

    name: str = setting("external", "shown in tables and directory names")
    file: str = option(MISSING, "vectors by item: .npz or Parquet; with {fold} in its name, one file a fold")
    item_column: str = setting("item_id", "array or column of the ids")
    vectors_column: str = setting("vectors", "array [items, f] or column of lists of f numbers")

    def inputs(self, cfg: RecommenderTrainingConfig) -> dict[str, str]:
        """SHA-256 of the fold's file; raises ``ConfigError`` where there is none."""
        path = Path(self.file.replace("{fold}", str(cfg.fold)))
        if not path.is_file():
            raise ConfigError(f"recommender.file should be a .npz or .parquet file, but {path} is none; correct it.")
        return {"vectors": sha256_of_file(path)}

    def given(self, cfg: RecommenderTrainingConfig, data: FoldData) -> tuple[ItemVectors, dict[str, int]]:
        """The vectors of train and context items, and how many matched; those of held-out items are not used.

        Raises ``DataError``: the file cannot be read, or has no vector of a train item.
        """
        path = Path(self.file.replace("{fold}", str(cfg.fold)))
        ids, vectors = read_vectors(path, self.item_column, self.vectors_column)
        known = data.items["item_id"].to_numpy().astype(np.str_)
        row = pd.Index(ids).get_indexer(known)
        visible = data.items["split"].isin([TRAIN, CONTEXT]).to_numpy() | (HELD_OUT_INTERACTIONS in cfg.leaks)
        used = visible & (row >= 0)
        counts = {
            "n_items": int(used.sum()),
            "n_items_without_vector": int((visible & (row < 0)).sum()),
            "n_vectors_of_held_out_items": int((~visible & (row >= 0)).sum()),
            "n_vectors_unmatched": len(ids) - int((row >= 0).sum()),
            "n_factors": vectors.shape[1],
        }
        logger.info("Vectors: %s", ", ".join(f"{name} {count}" for name, count in counts.items()))
        _say_unmatched(ids, known, bool(used.any()))
        n_users = np.bincount(data.train_interactions[ITEM_IDX], minlength=len(known))[used]
        return ItemVectors(known[used], vectors[row[used]], np.zeros(len(n_users), np.float32), n_users), counts

    def build(self, trainer: TrainerConfig, item_id: np.ndarray | None = None) -> NoReturn:
        """Raise ``ConfigError``: there is no model to fit."""
        raise ConfigError("recommender=external is read, not fitted; it can be neither tuned nor part of a joint one.")


def read_vectors(path: Path, item_column: str, vectors_column: str) -> tuple[np.ndarray, np.ndarray]:
    """Ids [n] str and vectors [n, f] float32 of a .npz or Parquet file; raises ``DataError`` if it has no such."""
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                ids, vectors = arrays[item_column], arrays[vectors_column]
        else:
            table = parquet.read_table(path, columns=[item_column, vectors_column]).combine_chunks()
            ids = table[item_column].to_numpy()
            lists = table[vectors_column].cast(pa.list_(pa.float32())).combine_chunks()
            vectors = lists.flatten().to_numpy().reshape(len(ids), -1)
            if (np.diff(lists.offsets) != vectors.shape[1]).any():
                raise ValueError("its vectors differ in length")
        if ids.dtype.kind == "f" or vectors.ndim != 2 or not vectors.size:
            raise ValueError(f"ids are {ids.dtype}, and vectors have shape {vectors.shape}")
        ids, vectors = np.char.strip(ids.astype(np.str_)), vectors.astype(np.float32)
        check_rows(ids, vectors=vectors)
    except Exception as error:  # each reader fails differently on a damaged file; the cause is chained
        raise DataError(
            f"{path} should hold text or whole numbers in recommender.item_column, {item_column!r}, and vectors of one "
            f"length in recommender.vectors_column, {vectors_column!r}, but cannot be used: {error}."
        ) from error
    return ids, vectors


def _say_unmatched(ids: np.ndarray, known: np.ndarray, is_used: bool) -> None:
    """Warn where many ids are unknown; raises ``DataError`` where no vector is used."""
    from src.data.preparation.interactions import WORTH_SAYING, describe_unmatched

    unknown, share = np.setdiff1d(ids, known), 1 - np.isin(ids, known).mean()
    text = f"{len(unknown)} of {len(ids)} ids ({share:.1%}) are not in the item table: "
    text += describe_unmatched([(str(one), 1) for one in unknown[:5]], np.sort(known).tolist()) if share else "none."
    if not is_used:
        raise DataError(f"recommender.file should have vectors of train items, but has none. {text}")
    if share > WORTH_SAYING:
        logger.warning("%s", text)
