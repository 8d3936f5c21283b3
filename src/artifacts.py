"""Files between stages: their names and columns, and the arrays and records in some of them.

Arrays are npz without pickles. Joins are by ``item_id``, never by row order.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np

from src.errors import ArtifactError
from src.files import atomic_path, load, load_yaml, save_yaml

ITEM_ID, USER_ID = "item_id", "user_id"
ITEM_COLUMNS = (ITEM_ID, "image_paths", "labels", "values", "image_group", "part")
USER_IDX, ITEM_IDX = "user_idx", "item_idx"
INTERACTION_COLUMNS = (USER_IDX, ITEM_IDX)

PREPARED = "prepared"
ITEMS_FILE, USERS_FILE, INTERACTIONS_FILE = "items.parquet", "users.parquet", "interactions.parquet"
LABELS_FILE = "labels.json"
IMAGES_DIR, REPORT_FILE, REPORT_TEXT, MANIFEST_FILE = "images", "report.json", "report.md", "manifest.json"
METRICS_FILE, CURVES_FILE, CONFIG_FILE = "metrics.json", "metrics.csv", "config.yaml"
VECTORS_FILE, PRECHECK_FILE = "item_vectors.npz", "pre_check.json"
PROBABILITIES_FILE, CONFIDENCE_FILE = "item_probabilities.npz", "item_confidence.npz"
ISSUES_FILE = "label_issues.csv"
PREDICTIONS_FILE, RESULTS_FILE, EVALUATION_DIR = "predictions.npz", "results.yaml", "evaluation"
SEEN_HELD_OUT = ", has seen held-out users"
"""Ends the name of a CF model whose vectors come from one file for all folds; it stays so in tables."""
PER_LABEL = {"probs", "scores", "targets"}


@dataclass(frozen=True)
class ArrayArtifact:
    """Named arrays in one npz file: one row an item and, of those in ``PER_LABEL``, one column a label."""

    def __post_init__(self) -> None:
        arrays = vars(self).copy()
        labels = arrays.pop("labels", None)
        check_rows(**arrays)
        for name in PER_LABEL & arrays.keys():
            if labels is None or arrays[name].shape[1:] != labels.shape:
                shape = arrays[name].shape
                raise ArtifactError(f"{name} should have a column for each of its labels, {labels}, but is {shape}.")

    def save(self, path: Path) -> None:
        """Write all fields, atomically and without pickles."""
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **vars(self))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check a file; raises ``ArtifactError`` when it is missing, damaged or of another kind."""
        names = {field.name for field in fields(cls)}

        def read() -> dict[str, np.ndarray]:
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}

        arrays = load(path, read)
        if set(arrays) != names:
            raise ArtifactError(f"{path} should hold the arrays {sorted(names)}, but holds {sorted(arrays)}.")
        try:
            return cls(**arrays)
        except ArtifactError as error:
            raise ArtifactError(f"{path}: {error}") from error


def check_rows(item_id: np.ndarray, **arrays: np.ndarray) -> None:
    """Raise ``ArtifactError`` unless ids are unique strings and every array has one finite row for each of them."""
    if item_id.ndim != 1 or item_id.dtype.kind != "U":
        raise ArtifactError(
            f"item_id should be a 1-d array of strings, but is {item_id.dtype} of shape {item_id.shape}."
        )
    if len(np.unique(item_id)) != len(item_id):
        raise ArtifactError("item_id holds the same id more than once.")
    for name, array in arrays.items():
        if len(array) != len(item_id):
            raise ArtifactError(f"{name} should have {len(item_id)} rows, one for each item, but has {len(array)}.")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ArtifactError(f"{name} holds NaN or infinite values.")


@dataclass(frozen=True)
class ItemVectors(ArrayArtifact):
    """CF vectors: ``item_id`` [I], ``vectors`` [I, f] float32, ``bias`` [I] float32, ``n_users`` [I] int64."""

    item_id: np.ndarray
    vectors: np.ndarray
    bias: np.ndarray
    n_users: np.ndarray

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vectors.ndim != 2 or self.bias.ndim != 1:
            raise ArtifactError(f"vectors should be [items, f], but have shape {self.vectors.shape}.")


@dataclass(frozen=True)
class ItemProbabilities(ArrayArtifact):
    """Label probabilities by CF2Label: ``item_id`` [I], ``labels`` [N], ``probs`` [I, N], ``fold`` [I] (-1: mean)."""

    item_id: np.ndarray
    labels: np.ndarray
    probs: np.ndarray
    fold: np.ndarray


@dataclass(frozen=True)
class ItemConfidence(ArrayArtifact):
    """Raw loss-based confidence h of each item's CF vector: ``item_id`` [I], ``confidence`` [I] float32."""

    item_id: np.ndarray
    confidence: np.ndarray


@dataclass(frozen=True)
class Predictions(ArrayArtifact):
    """Test predictions of one run.

    ``item_id`` [n], ``labels`` [N], ``scores`` [n, N] float32 (higher is likelier), ``targets`` [n, N] uint8 and
    ``image_group`` [n] str, the unit that resampling must keep together.
    """

    item_id: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    targets: np.ndarray
    image_group: np.ndarray


@dataclass(frozen=True)
class RunRecord:
    """One predicted run, as ``results.yaml`` lists it; null fields do not apply to its method."""

    run: str
    task: str
    method: str
    backbone: str
    image_size: int
    label_ratio: float
    alpha: float | None
    distill_lambda: float | None
    recommender: str | None
    fold: int
    seed: int
    study: str


def load_records(path: Path) -> list[RunRecord]:
    """Read ``results.yaml``; raises ``ArtifactError`` when it is missing or malformed."""
    content, names = load_yaml(path), [field.name for field in fields(RunRecord)]
    try:
        return [RunRecord(**{name: entry[name] for name in names}) for entry in content["runs"]]
    except (KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path} should have a list `runs`, each with {', '.join(names)}, but has none or a run without {error}; "
            f"write it again with `python main_predict_testset.py dataset={path.parent.name}`."
        ) from error


def replace_records(path: Path, study: str, records: list[RunRecord]) -> None:
    """Write ``results.yaml`` with these runs in place of those of ``study`` that it had."""
    others = [record for record in load_records(path) if record.study != study] if path.is_file() else []
    save_yaml(path, {"runs": [vars(record) for record in sorted([*others, *records], key=lambda record: record.run)]})
