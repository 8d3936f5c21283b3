"""Labels of images that no dataset knows: what the method is for. Needs a trained run, and no CF data."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from src.classifiers.network import MultitaskNetwork
from src.config import PredictConfig
from src.data.new_images import load_batches
from src.deployment.contact_sheet import ContactSheet
from src.deployment.finished_run import choose_run
from src.deployment.label_files import FeatureFile, LabelFiles
from src.errors import ConfigError, DataError
from src.machine import n_cores

logger = logging.getLogger(__name__)

LABELLED_DIR = "new_images"


def label_images(cfg: PredictConfig) -> dict[str, Any]:
    """Label the images of a folder or a list, whatever their number, in constant memory.

    Writes ``outputs/<dataset>/new_images/<name>/``: ``labels.csv`` and ``labels.jsonl`` with the ``top_k`` labels of
    each image, their calibrated probabilities, and which of them reach their class's threshold; ``contact_sheet.png``
    of the first ones; with ``features``, ``features.parquet``. A file that cannot be used has a row that says why.

    Returns:
        Numbers of images labelled and failed, and where the files lie.

    Raises:
        ArtifactError: There is no such run, or it is damaged.
        ConfigError: ``top_k`` is below 1.
        DataError: There is no such folder or list, or it holds no image.
    """
    if cfg.top_k < 1:
        raise ConfigError(f"top_k should be at least 1, but is {cfg.top_k}.")
    source = Path(str(cfg.images))
    run = choose_run(Path(cfg.outputs_dir) / cfg.dataset.name, cfg.study, cfg.run)
    calibration = run.calibration(cfg.batch_size)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = run.network().to(device).to(memory_format=torch.channels_last)
    settings = run.definition["settings"]
    folder = Path(cfg.outputs_dir) / cfg.dataset.name / LABELLED_DIR / source.resolve().stem
    counts = {"n_labelled": 0, "n_failed": 0}
    sheet = ContactSheet()
    scale = run.cf_scale() if cfg.features else None
    batches = load_batches(
        source, run.image_limits, settings["image_size"], settings["eval_crop"], cfg.batch_size, n_cores()
    )
    with (
        LabelFiles(folder, calibration, cfg.top_k) as files,
        FeatureFile(folder if cfg.features else None) as features,
        tqdm(desc="label", unit="image", disable=not cfg.trainer.progress_bar) as progress,
    ):
        for batch in batches:
            output = _apply(network, batch.images, device, scale)
            usable = [path for path, error in zip(batch.paths, batch.errors, strict=True) if error is None]
            rows = files.write(batch.paths, batch.errors, output.scores)
            sheet.add(batch.images, [row for row in rows if row["error"] is None])
            features.write(usable, output.features, output.cf_vectors)
            counts["n_labelled"] += len(usable)
            counts["n_failed"] += len(batch.paths) - len(usable)
            progress.update(len(batch.paths))
        if not sum(counts.values()):
            raise DataError(f"{source} holds no image.")
    sheet.save(folder)
    logger.info("Labelled %d images, %d failed: %s", *counts.values(), folder)
    return {**counts, "run": str(run.directory), "results": str(folder)}


class _Output(NamedTuple):
    features: np.ndarray
    scores: np.ndarray
    cf_vectors: np.ndarray | None


@torch.inference_mode()
def _apply(
    network: MultitaskNetwork, images: Tensor, device: torch.device, scale: tuple[np.ndarray, np.ndarray] | None
) -> _Output:
    """Features [k, F], scores [k, N], and where there is a ``scale`` CF vectors [k, f], of k images."""
    features = network.features(images.to(device, memory_format=torch.channels_last).float() / 255)
    scores = network.label_head(features).float().sigmoid().cpu().numpy()
    cf_vectors = None
    if scale is not None and network.cf_head is not None:
        mean, deviation = scale
        cf_vectors = network.cf_head(features).float().cpu().numpy() * deviation + mean
    return _Output(features.float().cpu().numpy(), scores, cf_vectors)
