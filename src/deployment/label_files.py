"""The files that labelling new images writes: row by row, and in place only once whole."""

import csv
import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from src.deployment.calibration import Calibration
from src.files import atomic_path

LABELS_CSV, LABELS_JSONL, FEATURES_FILE = "labels.csv", "labels.jsonl", "features.parquet"


class LabelFiles(ExitStack):
    """``labels.csv`` and ``labels.jsonl``, one row an image, and ``features.parquet``; an error leaves none of them."""

    def __init__(self, folder: Path, calibration: Calibration, top_k: int) -> None:
        """Write into ``folder`` the ``top_k`` labels of each image, at most as many as there are."""
        super().__init__()
        self._folder, self._calibration = folder, calibration
        self._top_k = min(top_k, len(calibration.labels))
        self._features: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        csv_path, json_path = (
            self.enter_context(atomic_path(self._folder / name)) for name in (LABELS_CSV, LABELS_JSONL)
        )
        self._csv = csv.writer(self.enter_context(csv_path.open("w", encoding="utf-8", newline="")))
        self._jsonl = self.enter_context(json_path.open("w", encoding="utf-8"))
        ranked = [f"{kind}_{place}" for place in range(1, self._top_k + 1) for kind in ("label", "probability")]
        self._csv.writerow(["image", "error", "labels", *ranked])
        return self

    def write(self, paths: Sequence[str], errors: Sequence[str | None], scores: np.ndarray) -> list[dict[str, Any]]:
        """Write one row for each path; ``scores`` [k, N] are those of the k paths without error, in order."""
        probabilities = iter(self._calibration.probabilities(scores))
        rank = self._calibration.rank
        rows: list[dict[str, Any]] = [
            {"image": path, "error": error, "labels": [] if error else rank(next(probabilities), self._top_k)}
            for path, error in zip(paths, errors, strict=True)
        ]
        for row in rows:
            given = [entry["label"] for entry in row["labels"] if entry["given"]]
            ranked = [value for entry in row["labels"] for value in (entry["label"], f"{entry['probability']:.4f}")]
            self._csv.writerow([row["image"], row["error"] or "", "|".join(given), *ranked])
            self._jsonl.write(json.dumps(row, ensure_ascii=True) + "\n")
        return rows

    def write_features(self, paths: Sequence[str], **arrays: np.ndarray | None) -> None:
        """Write a row for each of some paths, with a column for each array [k, F] that is not None."""
        if not paths:
            return
        columns = {"image": pa.array(paths)}
        for name, values in arrays.items():
            if values is not None:
                flat = pa.array(np.ascontiguousarray(values, dtype=np.float32).ravel())
                columns[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
        table = pa.table(columns)
        if self._features is None:
            path = self.enter_context(atomic_path(self._folder / FEATURES_FILE))
            self._features = self.enter_context(pq.ParquetWriter(path, table.schema))
        self._features.write_table(table)
