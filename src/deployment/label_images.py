"""Labels of new images: needs a trained run and no CF data."""

import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.classifiers.finished_run import DEVICE, FinishedRun
from src.classifiers.models.network import MultitaskNetwork
from src.config.datasets import DatasetConfig
from src.config.stages import UseConfig
from src.console import progress
from src.data.images.decode import FORMATS, RefusedImageError
from src.data.images.store import load_image
from src.data.images.transforms import center_crop_boxes, crop_batch
from src.deployment.calibration import calibration_of
from src.deployment.label_files import LabelFiles, save_contact_sheet
from src.deployment.standalone.image_files import as_text, find_images
from src.errors import DataError
from src.files import STARTED_IN
from src.machine import map_in_order, n_cores
from src.recommenders.run import dataset_dir
from src.runs import content_hash

logger = logging.getLogger(__name__)

LABELLED_DIR, N_SHOWN = "new_images", 48


def label_images(cfg: UseConfig) -> dict[str, Any]:
    """Label the images of a folder or a list, whatever their number, in constant memory; or a single one.

    Writes ``outputs/<dataset>/new_images/<name>-<hash of images and run>/``: ``labels.csv`` and ``labels.jsonl`` with
    the ``top_k`` labels of each image, their calibrated probabilities, and which of them reach their class's threshold;
    ``contact_sheet.png`` of the first ones; with ``features``, ``features.parquet``. Each file that is given has a row:
    its labels, or why it cannot be used.

    Raises:
        ArtifactError: There is no such run, or it is damaged.
        ConfigError: The run predicts numbers.
        DataError: There is no such file or folder, or nothing in it.
    """
    source = STARTED_IN / Path(str(cfg.images)).expanduser()
    if not source.exists():
        raise DataError(f"images should be an image, a folder or a list, but {as_text(source)} does not exist.")
    run = FinishedRun.choose(dataset_dir(cfg), cfg.study, cfg.run)
    calibration = calibration_of(run, cfg.batch_size)
    network = run.network.to(DEVICE).to(memory_format=torch.channels_last)
    settings = run.definition["settings"]
    name, digest = source.resolve().name, content_hash([str(source.resolve()), run.directory.name])
    folder = dataset_dir(cfg) / LABELLED_DIR / f"{as_text(Path(name[:60]))}-{digest[:8]}"
    counts = {"n_labelled": 0, "n_failed": 0}
    shown: list[tuple[np.ndarray, dict[str, Any]]] = []
    about = run.image_limits, settings["image_size"], settings["eval_crop"], cfg.batch_size
    with (
        LabelFiles(folder, calibration, cfg.top_k) as files,
        progress(None, "label", unit="image", shown=cfg.trainer.progress_bar) as bar,
    ):
        for found, errors, images in load_batches(find_images(source, FORMATS), *about):
            paths = [as_text(path) for path in found]
            features, scores, cf_vectors = apply_network(network, images)
            usable = [path for path, error in zip(paths, errors, strict=True) if error is None]
            rows = files.write(paths, errors, scores)
            labelled = [row for row in rows if row["error"] is None]
            shown += zip(images.permute(0, 2, 3, 1).numpy(), labelled, strict=True)
            shown = shown[:N_SHOWN]
            if cfg.features:
                files.write_features(usable, features=features, cf_vector=cf_vectors)
            counts["n_labelled"] += len(usable)
            counts["n_failed"] += len(paths) - len(usable)
            bar.update(len(paths))
        if not sum(counts.values()):
            raise DataError(f"{as_text(source)} holds no file; give images= a folder of images, or a list of them.")
    if shown:
        save_contact_sheet(folder / "contact_sheet.png", *zip(*shown, strict=True))
    logger.info("Labelled %d images, %d failed: %s", *counts.values(), folder)
    return {**counts, "run": str(run.directory), "results": str(folder)}


def load_batches(
    paths: Iterator[Path], cfg: DatasetConfig, image_size: int, eval_crop: float, batch_size: int
) -> Iterator[tuple[list[Path], list[str | None], Tensor]]:
    """Decode files of any kind in parallel and yield them in batches, cropped to ``eval_crop`` of the short side.

    Sizes and limits ``cfg`` are those of the images that the network was trained on. A batch has the paths as they were
    given, why a file cannot be used or None, both [b], and centre crops of the usable ones, [k, 3, S, S] uint8.
    """

    def decode(path: Path) -> np.ndarray | str:
        try:
            if not path.is_file():  # reading a pipe would wait for ever
                return "file is missing, or no regular file"
            return np.array(load_image(path, cfg).pixels)  # torch takes no read-only memory
        except RefusedImageError as reason:
            return str(reason)
        except OSError:
            return "path cannot be followed"

    decoded = map_in_order(decode, paths, n_cores())
    while batch := list(islice(decoded, batch_size)):
        pixels = [result for _, result in batch if not isinstance(result, str)]
        heights, widths = (torch.tensor([image.shape[axis] for image in pixels]) for axis in (0, 1))
        boxes = center_crop_boxes(heights, widths, eval_crop)
        errors = [result if isinstance(result, str) else None for _, result in batch]
        crops = crop_batch(pixels.__getitem__, np.arange(len(pixels)), boxes, image_size)
        yield [path for path, _ in batch], errors, crops


@torch.inference_mode()
def apply_network(network: MultitaskNetwork, images: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Features [k, F], scores [k, N], and CF vectors [k, f] where the network predicts them, of k images."""
    features = network.features(images.to(DEVICE))
    logits, features = network.logits_of(features), features.mean(dim=1)
    scores, cf_vectors = network.heads.scores(logits), network.heads.cf_vectors(features)
    predicted = None if cf_vectors is None else cf_vectors.cpu().numpy()
    return features.float().cpu().numpy(), scores.cpu().numpy(), predicted
