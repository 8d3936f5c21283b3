"""Frozen features: computed once for all stored images, shared by every run that uses them."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from src.artifacts import METRICS_FILE
from src.classifiers.models.evaluation_batches import CentreCrops
from src.classifiers.models.network import ImageFeatures
from src.config.stages import ClassifierTrainingConfig
from src.console import progress
from src.data.images.store import ImageStore
from src.errors import ArtifactError, DataError
from src.files import load_json, sha256_of_file
from src.machine import keep_freed_memory, map_in_order, n_cores
from src.runs import Run, is_primary_process

logger = logging.getLogger(__name__)

FEATURES_FILE, PART_FILE = "features.f16", "features.part"
BATCH = 64


@dataclass(frozen=True)
class FrozenFeatures:
    """Features of a store's images: ``array`` [n images, V views, F] float16, memory-mapped, rows as the store's."""

    array: np.ndarray

    @classmethod
    def of(cls, run: Run, cfg: ClassifierTrainingConfig, store: ImageStore) -> Self:
        """Features of all images of ``store`` in ``run``'s directory; made first, or completed, unless finished.

        Raises:
            ArtifactError: The file is damaged, or of another store.
            ConfigError: The backbone cannot be built, or does not take images of this size.
        """
        with run.locked():
            if not run.finished and is_primary_process():
                run.finish(cfg, _extract(run.directory, cfg, store))
        while not run.finished:  # another process of a run on several devices makes them
            time.sleep(1)
        return cls.open(run.directory, len(store))

    @classmethod
    def open(cls, directory: Path, n_images: int) -> Self:
        """Read finished features; raises ``ArtifactError`` if they are damaged or not of ``n_images``."""
        about, path = load_json(directory / METRICS_FILE), directory / FEATURES_FILE
        found = sha256_of_file(path) if path.is_file() else "nothing"
        if found != about["sha256"] or about["n_images"] != n_images:
            raise ArtifactError(
                f"{path} should hold features of {n_images} images with SHA-256 {about['sha256']}, but holds {found} "
                f"of {about['n_images']}; delete {directory}, and the next run makes them again."
            )
        return cls(np.memmap(path, np.float16, "r", shape=(n_images, about["n_views"], about["n_features"])))

    def views(self, rows: np.ndarray) -> Tensor:
        """Features of images in all views, [b, V, F] float32."""
        return torch.from_numpy(self.array[rows]).float()

    def random_views(self, rows: np.ndarray, generator: torch.Generator, shard: slice) -> Tensor:
        """Features of images in one random view each, [b, F] float32: drawn for all rows, returned for the shard."""
        view = torch.randint(self.array.shape[1], (len(rows),), generator=generator).numpy()
        return torch.from_numpy(self.array[rows[shard], view[shard]]).float()

    def scale(self, rows: np.ndarray) -> Tensor:
        """Mean and deviation of each feature over images and views, [2, F] float32; 1 where it does not vary."""
        values = self.array[rows].reshape(-1, self.array.shape[2]).astype(np.float32)
        deviation = values.std(axis=0)
        return torch.from_numpy(np.stack([values.mean(axis=0), np.where(deviation, deviation, 1)]).astype(np.float32))


def _extract(directory: Path, cfg: ClassifierTrainingConfig, store: ImageStore) -> dict[str, float | str]:
    """Write the features of all images, and return their metrics."""
    keep_freed_memory()
    started, part = time.monotonic(), directory / PART_FILE
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    image_features = ImageFeatures(cfg.backbone, cfg.image_size).eval().to(device).to(memory_format=torch.channels_last)
    row_bytes = 2 * cfg.views * image_features.n_features
    done = part.stat().st_size // row_bytes // BATCH * BATCH if part.is_file() else 0
    logger.info("Features of %d images by %s, once for all runs: %s", len(store), cfg.backbone.name, directory)
    batches = np.split(np.arange(len(store)), range(BATCH, len(store), BATCH))[done // BATCH :]
    cropped = map_in_order(CentreCrops(store, cfg.image_size, cfg.eval_crop), batches, n_cores())
    with part.open("r+b" if done else "wb") as stream:
        stream.truncate(stream.seek(done * row_bytes))
        for _, images in progress(cropped, "features", len(batches), unit="batch"):
            images = images.to(device, memory_format=torch.channels_last)
            with torch.inference_mode(), torch.autocast(device.type, torch.float16, enabled=device.type == "cuda"):
                features = image_features.views(images, cfg.views).half().cpu().numpy()
            if not np.isfinite(features).all():
                raise DataError(f"{cfg.backbone.name} overflows at half precision; use another backbone.")
            stream.write(features.tobytes())
            stream.flush()
    part.rename(directory / FEATURES_FILE)
    rate = (len(store) - done) / (time.monotonic() - started)
    logger.info("%.0f images a second.", rate)
    return {
        "n_images": len(store),
        "n_views": cfg.views,
        "n_features": image_features.n_features,
        "sha256": sha256_of_file(directory / FEATURES_FILE),
        "images_a_second": round(rate, 1),
    }
