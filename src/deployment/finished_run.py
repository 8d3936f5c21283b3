"""A finished run as something to use: its network, its labels, and what its scores mean."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from src.artifacts import (
    CONFIG_FILE,
    MANIFEST_FILE,
    METRICS_FILE,
    PREPARED,
    VECTORS_FILE,
    ItemVectors,
    load_json,
    load_yaml,
)
from src.classifiers.inference import load_network, score_items
from src.classifiers.network import MultitaskNetwork
from src.config import DatasetConfig
from src.data.folds import TRAIN, VAL, FoldData, load_manifest, open_fold
from src.data.store import ImageStore
from src.deployment.calibration import CALIBRATION_FILE, Calibration, expected_calibration_error, fit_calibration
from src.errors import ArtifactError, ConfigError
from src.recommenders.locate import RECOMMENDER
from src.runs import content_hash, is_finished

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinishedRun:
    """A fine-tuning run and the prepared dataset that it was trained on.

    Attributes:
        directory: Of the run.
        definition: What defines it.
        config: All its settings.
    """

    directory: Path
    definition: Mapping[str, Any]
    config: Mapping[str, Any]

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Raises ``ArtifactError`` without a finished fine-tuning run there, ``ConfigError`` for one of regression."""
        if not is_finished(directory) or not (directory / CONFIG_FILE).is_file():
            raise ArtifactError(
                f"{directory} holds no finished fine-tuning run; train one, or name another with run=..."
            )
        definition = load_json(directory / MANIFEST_FILE)["definition"]
        config = load_yaml(directory / CONFIG_FILE)
        if config["dataset"].get("value_columns"):
            raise ConfigError(f"{directory} predicts numbers, but new images, export and fusion are for classes.")
        return cls(directory, definition, config)

    @property
    def prepared_dir(self) -> Path:
        """Of the dataset."""
        return self.directory.parents[2] / PREPARED

    @cached_property
    def fold(self) -> FoldData:
        """The fold as the run saw it; raises ``ArtifactError`` if the dataset has been prepared differently since."""
        fold = open_fold(self.prepared_dir, self.config["fold"], self.config.get("leaks", []))
        if fold.items_digest != self.definition["inputs"]["items"]:
            raise ArtifactError(
                f"{self.directory} was trained on another state of {self.prepared_dir}; train it again."
            )
        return fold

    @property
    def image_limits(self) -> DatasetConfig:
        """Sizes and limits of the images that it was trained on."""
        stored = load_manifest(self.prepared_dir)["config"]["dataset"]
        names = ("name", "store_size", "min_image_side", "max_aspect_ratio", "max_image_pixels")
        return DatasetConfig(**{name: stored[name] for name in names})

    def network(self) -> MultitaskNetwork:
        """The trained network, in evaluation mode."""
        settings = dict(self.definition["settings"])
        n_classes = len(self.fold.label_names)
        return load_network(self.directory, settings, n_classes, content_hash(self.definition)).eval()

    def calibration(self, batch_size: int) -> Calibration:
        """What its scores mean: read, or fitted on its validation images and kept beside its checkpoint."""
        path = self.directory / CALIBRATION_FILE
        if path.is_file():
            return Calibration.load(path)
        items = self.fold.split(VAL)
        items = items[items["labels"].notna()]
        if not len(items):
            raise ArtifactError(f"Fold {self.config['fold']} has no labelled validation item to calibrate scores on.")
        store = ImageStore.open(self.fold.images_dir)
        item_id = items["item_id"].to_numpy()
        scores = score_items(self.directory, self.definition, self.fold, store, item_id, batch_size)
        targets = self.fold.targets(items)
        calibration = fit_calibration(self.fold.label_names, scores, targets)
        before, after = (
            expected_calibration_error(values, targets) for values in (scores, calibration.probabilities(scores))
        )
        logger.info("Calibrated on %d validation images: error %.4f, before %.4f.", len(items), after, before)
        calibration.save(path)
        return calibration

    def cf_scale(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Mean and deviation, [f], that turn its CF head's output into vectors of the CF model; None without such.

        A control's head, which learned permuted or random vectors, predicts nothing of use.
        """
        settings = self.definition["settings"]
        if "vectors" not in self.definition["inputs"] or settings["method"]["vectors"] != "cf":
            return None
        name = self.config["recommender"]["name"]
        directory = self.prepared_dir.parent / RECOMMENDER / name / self.definition["inputs"]["vectors"]
        stored = ItemVectors.load(directory / VECTORS_FILE)
        target = np.column_stack([stored.vectors, stored.bias]) if settings["loss"]["use_bias"] else stored.vectors
        if not settings["standardize_vectors"]:
            return np.zeros(target.shape[1]), np.ones(target.shape[1])
        trained = target[np.isin(stored.item_id, self.fold.split(TRAIN)["item_id"])]
        return trained.mean(axis=0), np.maximum(trained.std(axis=0), 1e-6)


def choose_run(dataset_dir: Path, study: str, run: str | None) -> FinishedRun:
    """The run of this directory, or of the study the one with the highest validation mAP.

    Raises:
        ArtifactError: There is no such run.
        ConfigError: The run belongs to another dataset.
    """
    if run is not None:
        directory = Path(run)
        if directory.resolve().parents[2:3] != (dataset_dir.resolve(),):
            raise ConfigError(f"run should be a directory below {dataset_dir / 'classifier'}, but is {run}.")
        return FinishedRun.open(directory)
    best: tuple[float, Path] | None = None
    for path in sorted((dataset_dir / "classifier").glob(f"*/*/{CONFIG_FILE}")):
        if is_finished(path.parent) and load_yaml(path)["study"] == study:
            score = load_json(path.parent / METRICS_FILE).get("val_mAP")
            if score is not None and (best is None or score > best[0]):
                best = score, path.parent
    if best is None:
        raise ArtifactError(
            f"{dataset_dir} has no finished run of study {study!r}; train one first: python main_train_classifier.py "
            f"dataset={dataset_dir.name} method=cf_distill"
        )
    logger.info("Using %s, whose validation mAP of %.4f is the highest of study %s.", best[1], best[0], study)
    return FinishedRun.open(best[1])
