"""Labels of new images: needs a trained run and no CF data."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.classifiers.finished_run import DEVICE, FinishedRun
from src.classifiers.models.network import MultitaskNetwork
from src.config.stages import UseConfig
from src.console import progress
from src.data.images.decode import FORMATS
from src.data.images.new_images import load_batches
from src.deployment.calibration import calibration_of
from src.deployment.contact_sheet import save_contact_sheet
from src.deployment.label_files import LabelFiles
from src.deployment.standalone.image_files import as_text, find_images
from src.errors import DataError
from src.files import STARTED_IN
from src.machine import n_cores
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
    about = run.image_limits, settings["image_size"], settings["eval_crop"], cfg.batch_size, n_cores()
    with (
        LabelFiles(folder, calibration, cfg.top_k) as files,
        progress(None, "label", unit="image", shown=cfg.trainer.progress_bar) as bar,
    ):
        for batch in load_batches(find_images(source, FORMATS), *about):
            paths = [as_text(path) for path in batch.paths]
            features, scores, cf_vectors = apply_network(network, batch.images)
            usable = [path for path, error in zip(paths, batch.errors, strict=True) if error is None]
            rows = files.write(paths, batch.errors, scores)
            labelled = [row for row in rows if row["error"] is None]
            shown += zip(batch.images.permute(0, 2, 3, 1).numpy(), labelled, strict=True)
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


@torch.inference_mode()
def apply_network(network: MultitaskNetwork, images: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Features [k, F], scores [k, N], and CF vectors [k, f] where the network predicts them, of k images."""
    features = network.features(images.to(DEVICE))
    logits, features = network.logits_of(features), features.mean(dim=1)
    scores, cf_vectors = network.heads.scores(logits), network.heads.cf_vectors(features)
    predicted = None if cf_vectors is None else cf_vectors.cpu().numpy()
    return features.float().cpu().numpy(), scores.cpu().numpy(), predicted
