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
    ITEM_IDX,
    ITEMS_FILE,
    LABELS_FILE,
    MANIFEST_FILE,
    USER_IDX,
)
from src.config.datasets import CLASSIFICATION, TIME
from src.config.stages import HELD_OUT_INTERACTIONS, TEST_EPOCH
from src.errors import ArtifactError, ConfigError
from src.files import load_json, load_table
from src.randomness import hash_number
from src.runs import content_hash

N_PARTS = 20
PARTS_PER_SPLIT = 3
N_FOLDS = N_PARTS // PARTS_PER_SPLIT
TRAIN, VAL, TEST, CONTEXT = "train", "val", "test", "context"


@dataclass(frozen=True)
class FoldData:
    """What training stages may see of one fold.

    Attributes:
        items: ``item_id, image_paths, labels, values, image_group, split``; labels and values (numbers to predict, for
            regression) of test items are withheld (null). Items without image are ``context``: they train CF models
            and nothing else.
        train_interactions: ``user_idx, item_idx`` of train and context items only; ``item_idx`` is a row of ``items``.
    """

    items: pd.DataFrame
    train_interactions: pd.DataFrame
    label_names: list[str]  # N, in the order of all label columns
    images_digest: str  # SHA-256 of the image store's files
    images_dir: Path  # folder of the image store
    task: str = CLASSIFICATION  # or REGRESSION

    def split(self, name: str) -> pd.DataFrame:
        """The items of one split, in the order of the item table."""
        return self.items[self.items["split"] == name].reset_index(drop=True)

    @cached_property
    def interactions_digest(self) -> str:
        """SHA-256 of the interactions that CF models of this fold see; no other user or item changes it."""
        _, users = renumber(self.train_interactions[USER_IDX].to_numpy())
        known, items = renumber(self.train_interactions[ITEM_IDX].to_numpy())
        digest = hashlib.sha256("\x1e".join(self.items["item_id"].to_numpy()[known]).encode())
        digest.update(users.tobytes())
        digest.update(items.tobytes())
        return digest.hexdigest()

    @cached_property
    def items_digest(self) -> str:
        """SHA-256 of the items and labels that classifiers of this fold see."""
        items = self.items.reset_index(drop=True)
        for name in ("image_paths", "labels", "values"):
            items[name] = items[name].map(lambda cell: "\x1d" if cell is None else "\x1e".join(map(str, cell)))
        rows = hashlib.sha256(pd.util.hash_pandas_object(items).to_numpy().tobytes()).hexdigest()
        return content_hash([rows, self.label_names, self.images_digest])

    def targets(self, items: pd.DataFrame) -> np.ndarray:
        """Multi-hot labels of ``items``, or their values, [n, N] float32; all zero where labels are unknown."""
        if self.task == CLASSIFICATION:
            from sklearn.preprocessing import MultiLabelBinarizer  # slow to import

            binarizer = MultiLabelBinarizer(classes=self.label_names)
            return binarizer.fit_transform(items["labels"].map(lambda own: own or ())).astype(np.float32)
        none = (0.0,) * len(self.label_names)
        rows = [none if values is None else values for values in items["values"]]
        return np.array(rows, dtype=np.float32).reshape(len(items), len(none))

    def require_classes(self, what: str) -> None:
        """Raise ``ConfigError`` where numbers are predicted, for which ``what`` means nothing."""
        if self.task != CLASSIFICATION:
            raise ConfigError(f"{what} is about classes, but dataset.value_columns asks for numbers.")

    def require_labels(self, what: str) -> None:
        """Raise ``ConfigError`` where the dataset has no labels, which ``what`` needs."""
        if not self.label_names:
            raise ConfigError(f"{what} needs labels, but the dataset has none; only CF models do without.")


def open_fold(prepared_dir: Path, fold: int, leaks: Sequence[str] = ()) -> FoldData:
    """Read a prepared dataset as one fold's training stages may see it.

    ``leaks`` names what is seen although it should not be, to measure what the original implementation gained by it:
    test items stand in for the validation items, so that they choose the epoch; or the interactions of held-out items
    stay in CF training. Raises ``ArtifactError`` where the dataset is not prepared, or its files are damaged.
    """
    manifest = load_manifest(prepared_dir)
    items, all_interactions = load_items(prepared_dir, fold), load_interactions(prepared_dir)
    if TEST_EPOCH in leaks:
        items["split"] = items["split"].replace({VAL: TEST, TEST: VAL})
    items, interactions = withhold(items, all_interactions)
    if HELD_OUT_INTERACTIONS in leaks:
        interactions = all_interactions
    digest = content_hash({k: v for k, v in manifest["files"].items() if k.startswith(f"{IMAGES_DIR}/")})
    label_names = load_json(prepared_dir / LABELS_FILE)
    return FoldData(items, interactions, label_names, digest, prepared_dir / IMAGES_DIR, manifest["task"])


def withhold(items: pd.DataFrame, interactions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Remove the labels and values of test items, and the interactions of validation and test items.

    The one guard against leaks: training stages get items and interactions from here only.
    """
    known = {name: items[name].where(items["split"] != TEST, None) for name in ("labels", "values")}
    held_out = items["split"].isin([VAL, TEST]).to_numpy()
    kept = ~held_out[interactions[ITEM_IDX].to_numpy()]
    return items.assign(**known), interactions[kept].reset_index(drop=True)


def load_manifest(prepared_dir: Path) -> dict[str, Any]:
    """The prepared dataset's manifest; raises ``ArtifactError`` with the command to run when there is none."""
    path = prepared_dir / MANIFEST_FILE
    if not path.is_file():
        name = prepared_dir.parent.name
        raise ArtifactError(f"{prepared_dir} is not prepared; run: python main_prepare_dataset.py dataset={name}")
    return load_json(path)


def load_items(prepared_dir: Path, fold: int) -> pd.DataFrame:
    """All items with their ``split`` in ``fold``, labels included: for predict and evaluate, never for training."""
    if fold and load_manifest(prepared_dir).get("split") == TIME:
        raise ConfigError(f"With dataset.split=time there is one fold, 0, but fold={fold} is asked for.")
    items = load_table(prepared_dir / ITEMS_FILE, ITEM_COLUMNS)
    split = np.where(taking_part(items), split_of_parts(items["part"].to_numpy(), fold), CONTEXT)
    for name in ("labels", "values"):
        items[name] = items[name].map(lambda cell: None if cell is None else list(cell)).astype(object)
    return items.drop(columns="part").assign(split=split)


def taking_part(items: pd.DataFrame) -> pd.Series:
    """Which items are split into train, val and test: those with an image; where none has one, all."""
    has_image = items["image_paths"].map(len) > 0
    return has_image | (not has_image.any())


def load_interactions(prepared_dir: Path) -> pd.DataFrame:
    """All distinct interactions, ``user_idx, item_idx``: row numbers of the users and of the items."""
    return load_table(prepared_dir / INTERACTIONS_FILE, INTERACTION_COLUMNS)


def renumber(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct row numbers among ``places``, in order, and each one's place among them, int32."""
    occurs = np.bincount(places) > 0
    return np.flatnonzero(occurs), (np.cumsum(occurs, dtype=np.int32) - 1)[places]


def split_of_parts(part: np.ndarray, fold: int) -> np.ndarray:
    """Split of each part: fold k tests on parts 3k .. 3k+2, validates on the next three, and trains on the rest."""
    offset = (part.astype(int) - PARTS_PER_SPLIT * fold) % N_PARTS
    return np.select([offset < PARTS_PER_SPLIT, offset < 2 * PARTS_PER_SPLIT], [TEST, VAL], TRAIN)


def incomplete_folds(items: pd.DataFrame, n_folds: int = N_FOLDS) -> list[int]:
    """Folds that lack train, validation or test items."""
    part = items.loc[taking_part(items), "part"].to_numpy()
    return [fold for fold in range(n_folds) if len(np.unique(split_of_parts(part, fold))) < 3]


def label_mask(item_ids: np.ndarray, label_ratio: float, mask_seed: int) -> np.ndarray:
    """Which items keep their labels, [n] bool: nested across ratios, shared by all methods, independent of order."""
    uniform = np.array([hash_number(f"{mask_seed}\x1f{item}") for item in item_ids], dtype=np.float64) / 2.0**64
    return uniform < label_ratio
