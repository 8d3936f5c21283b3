"""Folds, label masks, and the guard that keeps held-out labels and interactions out of everything before predict."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from src.artifacts import (
    IMAGES_DIR,
    INTERACTION_COLUMNS,
    INTERACTIONS_FILE,
    ITEM_COLUMNS,
    ITEMS_FILE,
    LABELS_FILE,
    MANIFEST_FILE,
    load_json,
    load_table,
)
from src.config import check_choice
from src.errors import ArtifactError, ConfigError
from src.runs import content_hash

N_PARTS = 20
PARTS_PER_SPLIT = 3
N_FOLDS = N_PARTS // PARTS_PER_SPLIT
VALUE = "="
TRAIN, VAL, TEST, CONTEXT = "train", "val", "test", "context"
LEAKS = TEST_EPOCH, HELD_OUT_INTERACTIONS = "test_epoch", "held_out_interactions"


@dataclass(frozen=True)
class FoldData:
    """What training stages may see of one fold.

    Attributes:
        items: ``item_id, image_path, labels, image_group, split``; the labels of test items are withheld (null).
            Items without image are ``context``: they train CF models and nothing else.
        train_interactions: ``user_id, item_id`` of train and context items only.
        label_names: The N labels, in the order of all label columns.
        images_digest: SHA-256 of the image store's files.
        images_dir: Folder of the image store.
        regression: Labels are numbers, of which each labelled item has one for each of ``label_names``.
    """

    items: pd.DataFrame
    train_interactions: pd.DataFrame
    label_names: list[str]
    images_digest: str
    images_dir: Path
    regression: bool = False

    def split(self, name: str) -> pd.DataFrame:
        """The items of one split, in the order of the item table."""
        return self.items[self.items["split"] == name].reset_index(drop=True)

    @cached_property
    def interactions_digest(self) -> str:
        """SHA-256 of the interactions that CF models of this fold see."""
        return _digest(self.train_interactions)

    @cached_property
    def items_digest(self) -> str:
        """SHA-256 of the items and labels that classifiers of this fold see."""
        labels = self.items["labels"].map(lambda names: "\x1d" if names is None else "\x1e".join(names))
        return content_hash([_digest(self.items.assign(labels=labels)), self.label_names, self.images_digest])

    def targets(self, items: pd.DataFrame) -> np.ndarray:
        """Multi-hot labels of ``items``, or their values, [n, N] float32; all zero where labels are unknown."""
        return (label_values if self.regression else multi_hot)(items["labels"], self.label_names)


def open_fold(prepared_dir: Path, fold: int, leaks: Sequence[str] = ()) -> FoldData:
    """Read a prepared dataset as one fold's training stages may see it.

    Args:
        prepared_dir: Folder of the prepared dataset.
        fold: Its number.
        leaks: What is seen although it should not be, to measure what the original implementation gained by it, any of
            ``LEAKS``: test items stand in for the validation items, so that they choose the epoch; or the interactions
            of held-out items stay in CF training.

    Raises:
        ConfigError: There is no such fold, or no such leak.
        ArtifactError: The dataset is not prepared, or its files are damaged.
    """
    for leak in leaks:
        check_choice("leaks", leak, LEAKS)
    if not 0 <= fold < N_FOLDS:
        raise ConfigError(f"fold should be 0 to {N_FOLDS - 1}, but is {fold}.")
    manifest = load_manifest(prepared_dir)
    items, all_interactions = load_items(prepared_dir, fold), load_interactions(prepared_dir)
    if TEST_EPOCH in leaks:
        items["split"] = items["split"].replace({VAL: TEST, TEST: VAL})
    items, interactions = withhold(items, all_interactions)
    if HELD_OUT_INTERACTIONS in leaks:
        interactions = all_interactions
    images = {name: digest for name, digest in manifest["files"].items() if name.startswith(f"{IMAGES_DIR}/")}
    label_names = load_json(prepared_dir / LABELS_FILE)
    regression = bool(manifest["config"]["dataset"].get("value_columns"))
    return FoldData(items, interactions, label_names, content_hash(images), prepared_dir / IMAGES_DIR, regression)


def withhold(items: pd.DataFrame, interactions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Remove the labels of test items, and the interactions of validation and test items.

    The one guard against leaks: training stages get items and interactions from here only.
    """
    labels = items["labels"].where(items["split"] != TEST, None)
    held_out = items.loc[items["split"].isin([VAL, TEST]), "item_id"]
    kept = ~interactions["item_id"].isin(held_out)
    return items.assign(labels=labels), interactions[kept].reset_index(drop=True)


def load_manifest(prepared_dir: Path) -> dict[str, Any]:
    """The prepared dataset's manifest; raises ``ArtifactError`` with the command to run when there is none."""
    path = prepared_dir / MANIFEST_FILE
    if not path.is_file():
        name = prepared_dir.parent.name
        raise ArtifactError(f"{prepared_dir} is not prepared; run: python main_prepare_dataset.py dataset={name}")
    manifest: dict[str, Any] = load_json(path)
    return manifest


def load_items(prepared_dir: Path, fold: int) -> pd.DataFrame:
    """All items with their ``split`` in ``fold``, labels included: for predict and evaluate, never for training."""
    items = load_table(prepared_dir / ITEMS_FILE, ITEM_COLUMNS)
    split = split_of_parts(items["part"].to_numpy(), fold)
    split = np.where(items["image_path"].isna(), CONTEXT, split)
    labels = items["labels"].map(lambda names: None if names is None else list(names))
    return items.drop(columns="part").assign(labels=labels.astype(object), split=split)


def load_interactions(prepared_dir: Path) -> pd.DataFrame:
    """All distinct interactions, ``user_id, item_id``."""
    return load_table(prepared_dir / INTERACTIONS_FILE, INTERACTION_COLUMNS)


def split_of_parts(part: np.ndarray, fold: int) -> np.ndarray:
    """Split of each part: fold k tests on parts 3k .. 3k+2, validates on the next three, and trains on the rest."""
    offset = (part.astype(int) - PARTS_PER_SPLIT * fold) % N_PARTS
    return np.select([offset < PARTS_PER_SPLIT, offset < 2 * PARTS_PER_SPLIT], [TEST, VAL], TRAIN)


def label_mask(item_ids: np.ndarray, label_ratio: float, mask_seed: int) -> np.ndarray:
    """Which items keep their labels, [n] bool: nested across ratios, shared by all methods, independent of order."""
    digests = (hashlib.blake2b(f"{mask_seed}\x1f{item}".encode(), digest_size=8).digest() for item in item_ids)
    uniform = np.array([int.from_bytes(digest, "big") for digest in digests], dtype=np.float64) / 2.0**64
    return uniform < label_ratio


def multi_hot(labels: pd.Series, label_names: list[str]) -> np.ndarray:
    """Lists of label names as an indicator matrix, [n, N] float32; rows with unknown labels (null) are zero."""
    column = {name: index for index, name in enumerate(label_names)}
    targets = np.zeros((len(labels), len(label_names)), dtype=np.float32)
    for row, names in enumerate(labels):
        for name in names if names is not None else ():
            targets[row, column[name]] = 1.0
    return targets


def with_values(items: pd.DataFrame) -> pd.DataFrame:
    """Items whose labels also say their ``values``, as ``name=3.5``, where there are any; read by ``label_values``."""
    if "values" not in items:
        return items
    labels = [
        None if names is None else [f"{name}{VALUE}{value!r}" for name, value in zip(names, values, strict=True)]
        for names, values in zip(items["labels"], items["values"], strict=True)
    ]
    return items.assign(labels=pd.Series(labels, index=items.index, dtype=object))


def label_values(labels: pd.Series, label_names: list[str]) -> np.ndarray:
    """Lists of ``name=value`` as a matrix of values, [n, N] float32; rows with unknown labels (null) are zero."""
    column = {name: index for index, name in enumerate(label_names)}
    targets = np.zeros((len(labels), len(label_names)), dtype=np.float32)
    for row, texts in enumerate(labels):
        for text in texts if texts is not None else ():
            name, _, value = text.rpartition(VALUE)
            targets[row, column[name]] = float(value)
    return targets


def _digest(table: pd.DataFrame) -> str:
    hashes = pd.util.hash_pandas_object(table.reset_index(drop=True), index=True).to_numpy()
    return hashlib.sha256(hashes.tobytes()).hexdigest()
