"""Pictures for the report: test images that two methods see differently, and neighbours in CF space."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.metrics import label_ranking_average_precision_score
from sklearn.neighbors import NearestNeighbors

from src.artifacts import (
    ISSUES_FILE,
    MANIFEST_FILE,
    METRICS_FILE,
    PREPARED,
    VECTORS_FILE,
    ItemVectors,
    Predictions,
)
from src.data.folds import IMAGES_DIR, TRAIN, load_items
from src.data.images.store import ImageStore
from src.files import load, load_json

THUMBNAIL = 96  # pixels of the long side
N_EACH = 24  # images that gain most, and as many that lose most
N_PREDICTED = 3  # labels shown of each method
N_QUERIES, N_NEIGHBOURS = 6, 5
N_SUSPECTS = 12


@dataclass(frozen=True)
class Picture:
    """One image, as a ``data:`` address, its true labels, and for each method its best labels.

    A predicted label has its score and whether it is right.
    """

    item_id: str
    source: str
    labels: Sequence[str]
    predicted: Mapping[str, Sequence[tuple[str, float, bool]]]


@dataclass(frozen=True)
class Suspect:
    """A train item whose labels are probably wrong, with this probability, and by whose evidence (or empty)."""

    picture: Picture
    probability: float
    by: str
    improbable: Sequence[str]
    missing: Sequence[str]


class Thumbnails:
    """Small copies of stored images."""

    def __init__(self, dataset_dir: Path) -> None:
        self._store = ImageStore.open(dataset_dir / PREPARED / IMAGES_DIR)
        self._known = set(self._store.item_id.tolist())

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._known

    def source(self, item_id: str) -> str:
        """The item's first image as a ``data:`` address; equal pixels give equal text."""
        image = Image.fromarray(self._store.read(int(self._store.ranges([item_id])[0][0])))
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=80)
        return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def differing_pictures(
    test: Predictions, scores: Mapping[str, np.ndarray], thumbnails: Thumbnails
) -> tuple[list[Picture], list[Picture]]:
    """Test images on which the second method's ranking is better than the first's by most, and worse by most.

    ``scores`` has those of exactly two methods, [n_items, n_classes], rows aligned with ``test``. Items without
    thumbnail are left out.
    """
    rows = [row for row, item in enumerate(test.item_id) if test.targets[row].any() and item in thumbnails]
    first, second = (
        np.array([label_ranking_average_precision_score(test.targets[[row]], given[[row]]) for row in rows])
        for given in scores.values()
    )
    loss = first - second
    order = np.argsort(loss, kind="stable")
    better, worse = order[loss[order] < 0][:N_EACH], order[loss[order] > 0][::-1][:N_EACH]

    def picture(row: int) -> Picture:
        target = test.targets[row].astype(bool)
        predicted = {}
        for method, given in scores.items():
            best = np.argsort(-given[row], kind="stable")[:N_PREDICTED]
            predicted[method] = [(str(test.labels[k]), float(given[row, k]), bool(target[k])) for k in best]
        item_id = str(test.item_id[row])
        return Picture(item_id, thumbnails.source(item_id), test.labels[target].tolist(), predicted)

    return [picture(rows[place]) for place in better], [picture(rows[place]) for place in worse]


def cf_neighbours(dataset_dir: Path, thumbnails: Thumbnails) -> tuple[str, list[list[Picture]]]:
    """The train items with most users, and their nearest items by CF vector (cosine).

    Returns:
        The run whose vectors were used, and rows of an item followed by its neighbours; empty without vectors.
    """
    finished = sorted(path.parent for path in dataset_dir.glob(f"recommender/*/*/{MANIFEST_FILE}"))
    runs = [run for run in finished if (run / VECTORS_FILE).is_file()]
    if not runs:
        return "", []
    run = min(runs, key=lambda run: run.parent.name != "vae")  # methods use the VAE's vectors by default
    stored = ItemVectors.load(run / VECTORS_FILE)
    fold = load_json(run / MANIFEST_FILE)["definition"]["settings"]["fold"]
    items = load_items(dataset_dir / PREPARED, fold)
    labels = pd.Series(items["labels"].to_numpy(), index=items["item_id"])[(items["split"] == TRAIN).to_numpy()]
    rows = np.array([row for row, item in enumerate(stored.item_id) if item in labels.index and item in thumbnails])
    if len(rows) <= N_NEIGHBOURS:
        return "", []
    queries = rows[np.argsort(-stored.n_users[rows], kind="stable")[:N_QUERIES]]
    search = NearestNeighbors(n_neighbors=N_NEIGHBOURS + 1, metric="cosine").fit(stored.vectors[rows])
    found = rows[search.kneighbors(stored.vectors[queries], return_distance=False)]

    def picture(row: int) -> Picture:
        item_id = str(stored.item_id[row])
        known = labels[item_id]
        return Picture(item_id, thumbnails.source(item_id), [] if known is None else list(known), {})

    return run.relative_to(dataset_dir).as_posix(), [
        [picture(row) for row in [query, *near[near != query]][: N_NEIGHBOURS + 1]]
        for query, near in zip(queries, found, strict=True)
    ]


def label_issues(dataset_dir: Path, thumbnails: Thumbnails) -> dict[str, Any]:
    """The train items with the most suspicious labels, of the first search for label issues without planted errors.

    Returns:
        ``run``, its numbers of items and of suspects, and ``suspects``, the most suspicious first; empty without one.
    """
    finished = sorted(path.parent for path in dataset_dir.glob(f"classifier/label_issues/*/{MANIFEST_FILE}"))
    runs = [run for run in finished if not load_json(run / MANIFEST_FILE)["definition"]["settings"]["planted_errors"]]
    if not runs:
        return {}
    path = runs[0] / ISSUES_FILE
    table = load(path, lambda: pd.read_csv(path, dtype=str, keep_default_na=False))
    table = table[[item in thumbnails for item in table["item_id"]]]
    by = {"image": "image", "cf": "interactions", "both": "image and interactions", "": ""}

    def suspect(row: Any) -> Suspect:
        given, improbable, missing = (
            [name for name in cell.split("|") if name]
            for cell in (row.labels, row.improbable_labels, row.missing_labels)
        )
        picture = Picture(row.item_id, thumbnails.source(row.item_id), given, {})
        return Suspect(picture, float(row.probability_of_error), by[row.source], improbable, missing)

    counts = load_json(runs[0] / METRICS_FILE)
    suspects = [suspect(row) for row in table.head(N_SUSPECTS).itertuples()]
    return counts | {"run": runs[0].relative_to(dataset_dir).as_posix(), "suspects": suspects}
