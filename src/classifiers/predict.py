"""The stage ``main_predict_testset.py``: scores of a fold's test images from each finished run of a study."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from tqdm import tqdm

from src.artifacts import (
    CONFIG_FILE,
    MANIFEST_FILE,
    PREDICTIONS_FILE,
    PREPARED,
    RESULTS_FILE,
    Predictions,
    load_json,
    load_yaml,
    save_yaml,
)
from src.classifiers.batches import EvaluationBatches
from src.classifiers.checkpoints import BEST, NETWORK_PREFIX, load_checkpoint, load_weights
from src.classifiers.inference import predict_scores
from src.classifiers.network import MultitaskNetwork
from src.classifiers.settings import CF2LABEL
from src.config import BackboneConfig, PredictConfig
from src.data.folds import TEST, load_items, load_manifest, multi_hot, open_fold
from src.data.store import ImageStore
from src.errors import ArtifactError
from src.runs import content_hash, is_finished

logger = logging.getLogger(__name__)


def predict_testset(cfg: PredictConfig) -> dict[str, Any]:
    """Write ``predictions.npz`` into each finished run of the study, and list the runs in ``results.yaml``.

    Runs made from another state of the dataset are left out and counted, as are unfinished ones.

    Raises:
        ArtifactError: The dataset is not prepared, or the study has no finished run.
    """
    root = Path(cfg.outputs_dir) / cfg.dataset.name
    load_manifest(root / PREPARED)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    entries, counts = [], {"n_predicted": 0, "n_reused": 0, "n_unfinished": 0, "n_stale": 0}
    digests: dict[int, str] = {}
    for directory in tqdm(_runs_of(root, cfg.study), desc="predict", disable=not cfg.trainer.progress_bar):
        settings = load_yaml(directory / CONFIG_FILE)
        if not is_finished(directory):
            counts["n_unfinished"] += 1
            continue
        definition = load_json(directory / MANIFEST_FILE)["definition"]
        fold = settings["fold"]
        if fold not in digests:
            digests[fold] = open_fold(root / PREPARED, fold).items_digest
        if definition["inputs"]["items"] != digests[fold]:
            logger.warning("%s was trained on another state of the dataset; left out.", directory)
            counts["n_stale"] += 1
            continue
        path = directory / PREDICTIONS_FILE
        if cfg.force or not path.is_file():
            _predict(cfg, root / PREPARED, directory, settings, definition, device).save(path)
            counts["n_predicted"] += 1
        else:
            counts["n_reused"] += 1
        entries.append(_entry(root, directory, settings, definition))
    if not entries:
        raise ArtifactError(
            f"{root} has no finished run of study {cfg.study!r}; train one first: "
            f"python main_train_classifier.py dataset={cfg.dataset.name} method=image_only"
        )
    results_path = root / RESULTS_FILE
    others = load_yaml(results_path)["runs"] if results_path.is_file() else []
    others = [entry for entry in others if entry["study"] != cfg.study]
    save_yaml(results_path, {"runs": sorted([*others, *entries], key=lambda entry: str(entry["run"]))})
    return {**counts, "results": str(results_path)}


def _runs_of(root: Path, study: str) -> list[Path]:
    """Directories of fine-tuning runs of a study, in order of their names."""
    configs = sorted((root / "classifier").glob(f"*/*/{CONFIG_FILE}"))
    directories = [path.parent for path in configs if path.parent.parent.name != CF2LABEL]
    return [directory for directory in directories if load_yaml(directory / CONFIG_FILE)["study"] == study]


def _predict(
    cfg: PredictConfig,
    prepared_dir: Path,
    directory: Path,
    settings: dict[str, Any],
    definition: dict[str, Any],
    device: torch.device,
) -> Predictions:
    items = load_items(prepared_dir, settings["fold"])
    test = items[(items["split"] == TEST) & items["labels"].notna()]
    fold = open_fold(prepared_dir, settings["fold"])
    item_id = test["item_id"].to_numpy().astype(np.str_)
    network = load_network(directory, settings, len(fold.label_names), content_hash(definition))
    store = ImageStore.open(fold.images_dir)
    batches = EvaluationBatches(
        store,
        store.rows(item_id),
        image_size=settings["image_size"],
        eval_crop=settings["dataset"]["eval_crop"],
        batch_size=cfg.batch_size,
    )
    return Predictions(
        item_id=item_id,
        labels=np.array(fold.label_names),
        scores=predict_scores(network, batches, device, cfg.trainer.num_workers),
        targets=multi_hot(test["labels"], fold.label_names).astype(np.uint8),
        image_group=test["image_group"].to_numpy().astype(np.str_),
    )


def load_network(directory: Path, settings: dict[str, Any], n_classes: int, definition_hash: str) -> MultitaskNetwork:
    """The trained network of a finished run.

    Raises:
        ArtifactError: Its checkpoint is missing, damaged, or of another config.
    """
    checkpoint = load_checkpoint(directory / BEST)
    last_layer = checkpoint["state_dict"].get(f"{NETWORK_PREFIX}cf_head.4.weight")
    backbone: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(BackboneConfig), settings["backbone"]))
    untrained = BackboneConfig(**{**asdict(backbone), "weights": None})  # the checkpoint brings the weights
    network = MultitaskNetwork(untrained, n_classes, None if last_layer is None else len(last_layer), seed=0)
    load_weights(network, directory / BEST, definition_hash)
    return network


def _entry(root: Path, directory: Path, settings: dict[str, Any], definition: dict[str, Any]) -> dict[str, Any]:
    uses_vectors = "vectors" in definition["inputs"] or CF2LABEL in definition["inputs"]
    return {
        "run": directory.relative_to(root).as_posix(),
        "method": settings["method"]["name"],
        "backbone": settings["backbone"]["name"],
        "image_size": settings["image_size"],
        "label_ratio": settings["label_ratio"],
        "alpha": settings["alpha"] if "vectors" in definition["inputs"] else None,
        "distill_lambda": settings["distill_lambda"] if settings["method"]["soft_labels"] else None,
        "recommender": settings["recommender"]["name"] if uses_vectors else None,
        "fold": settings["fold"],
        "seed": settings["seed"],
        "study": settings["study"],
    }
