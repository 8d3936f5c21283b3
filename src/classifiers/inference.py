"""Label scores of stored images."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf

from src.artifacts import Predictions
from src.classifiers.checkpoints import BEST, NETWORK_PREFIX, load_checkpoint, load_weights
from src.classifiers.evaluation_batches import EvaluationBatches, batch_loader
from src.classifiers.network import MultitaskNetwork
from src.config import BackboneConfig
from src.data.folds import TEST, FoldData, load_items, open_fold
from src.data.store import ImageStore
from src.runs import content_hash


@torch.inference_mode()
def predict_scores(
    network: MultitaskNetwork, batches: EvaluationBatches, device: torch.device, num_workers: int = 0
) -> np.ndarray:
    """Class probabilities, or values, of all images of ``batches``, in the order of its rows, [n, N] float32."""
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    scores = []
    for batch in batch_loader(batches, num_workers=num_workers):
        images = batch["images"].to(device, memory_format=torch.channels_last).float() / 255
        scores.append(network.scores(network(images)[0]).cpu().numpy())
    return np.concatenate(scores)


def predict_run(
    directory: Path, definition: Mapping[str, Any], prepared_dir: Path, batch_size: int, num_workers: int
) -> Predictions:
    """Scores of a finished run's test items, beside their labels.

    Raises:
        ArtifactError: The run's checkpoint is missing, damaged, or of another config.
    """
    number = definition["settings"]["fold"]
    items = load_items(prepared_dir, number)
    test = items[(items["split"] == TEST) & items["labels"].notna()]
    fold = open_fold(prepared_dir, number)
    item_id = test["item_id"].to_numpy().astype(np.str_)
    store = ImageStore.open(fold.images_dir)
    return Predictions(
        item_id=item_id,
        labels=np.array(fold.label_names),
        scores=score_items(directory, definition, fold, store, item_id, batch_size, num_workers),
        targets=fold.targets(test).astype(np.float32 if fold.regression else np.uint8),
        image_group=test["image_group"].to_numpy().astype(np.str_),
    )


def score_items(
    directory: Path,
    definition: Mapping[str, Any],
    fold: FoldData,
    store: ImageStore,
    item_id: np.ndarray,
    batch_size: int,
    num_workers: int = 0,
) -> np.ndarray:
    """Class probabilities of some items by the network of a finished run, [n, N] float32.

    Raises:
        ArtifactError: The run's checkpoint is missing, damaged, or of another config.
    """
    settings = definition["settings"]
    network = load_network(directory, settings, len(fold.label_names), content_hash(definition))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    batches = EvaluationBatches(
        store,
        store.rows(item_id),
        image_size=settings["image_size"],
        eval_crop=settings["eval_crop"],
        batch_size=batch_size,
    )
    return predict_scores(network, batches, device, num_workers)


def load_network(directory: Path, settings: dict[str, Any], n_classes: int, definition_hash: str) -> MultitaskNetwork:
    """The trained network of a finished run.

    Raises:
        ArtifactError: Its checkpoint is missing, damaged, or of another config.
    """
    checkpoint = load_checkpoint(directory / BEST)
    last_layer = checkpoint["state_dict"].get(f"{NETWORK_PREFIX}cf_head.4.weight")
    backbone: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(BackboneConfig), settings["backbone"]))
    untrained = BackboneConfig(**{**asdict(backbone), "weights": None})  # the checkpoint brings the weights
    cf_size = None if last_layer is None else len(last_layer)
    scale = checkpoint["state_dict"].get(f"{NETWORK_PREFIX}target_scale")
    network = MultitaskNetwork(untrained, n_classes, cf_size, 0, scale)
    load_weights(network, directory / BEST, definition_hash)
    return network
