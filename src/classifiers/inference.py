"""Label scores of stored images."""

import numpy as np
import torch

from src.classifiers.batches import EvaluationBatches, batch_loader
from src.classifiers.network import MultitaskNetwork


@torch.inference_mode()
def predict_scores(
    network: MultitaskNetwork, batches: EvaluationBatches, device: torch.device, num_workers: int = 0
) -> np.ndarray:
    """Class probabilities of all images of ``batches``, in the order of its rows, [n, N] float32."""
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    scores = []
    for batch in batch_loader(batches, num_workers=num_workers):
        images = batch["images"].to(device, memory_format=torch.channels_last).float() / 255
        scores.append(network(images)[0].float().sigmoid().cpu().numpy())
    return np.concatenate(scores)
