"""The files that labelling new images writes: tables row by row, in place only once whole, and a contact sheet."""

import csv
import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageFont

from src.deployment.calibration import Calibration
from src.files import atomic_path

LABELS_CSV, LABELS_JSONL, FEATURES_FILE = "labels.csv", "labels.jsonl", "features.parquet"
COLUMNS, SIDE, LINE, MARGIN, SHOWN = 8, 128, 15, 8, 3
BLACK, GREY = (0, 0, 0), (130, 130, 130)


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


def save_contact_sheet(path: Path, images: Sequence[np.ndarray], rows: Sequence[dict[str, Any]]) -> None:
    """Draw images [S, S, 3] uint8, at least one, with their first labels: black if they reach their threshold, or grey.

    ``rows`` has what ``LabelFiles.write`` returned for each image.
    """
    width, height = SIDE + MARGIN, SIDE + SHOWN * LINE + 2 * MARGIN
    n_rows = -(-len(images) // COLUMNS)
    sheet = Image.new("RGB", (MARGIN + COLUMNS * width, MARGIN + n_rows * height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    for place, (pixels, row) in enumerate(zip(images, rows, strict=True)):
        left, top = MARGIN + place % COLUMNS * width, MARGIN + place // COLUMNS * height
        sheet.paste(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC), (left, top))
        for line, entry in enumerate(row["labels"][:SHOWN]):
            text = f"{entry['probability']:.2f} {entry['label']}"
            while draw.textlength(text, font=font) > SIDE:
                text = text[:-2] + "\u2026"
            where = (left, top + SIDE + 2 + line * LINE)
            draw.text(where, text, fill=BLACK if entry["given"] else GREY, font=font)
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")
