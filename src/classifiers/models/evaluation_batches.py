"""Evaluation batches, the loader of all batches, and scores."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from src.classifiers.models.network import MultitaskNetwork
from src.data.images.store import ImageStore
from src.data.images.transforms import center_crop_boxes, crop_batch

Inputs = Callable[[np.ndarray], Tensor]
"""Maps rows of the image store to a network's inputs in evaluation."""


class EvaluationBatches(Dataset):
    """Fixed batches for evaluation; each of n devices gets every n-th batch, padded with index -1.

    A batch holds ``inputs``, centre crops uint8 [b, 3, S, S] or frozen features [b, V, F], and ``index`` [b] int64, the
    position in ``rows`` or -1.
    """

    def __init__(self, inputs: Inputs, rows: np.ndarray, batch_size: int, rank: int = 0, n_ranks: int = 1) -> None:
        """Evaluate on the store's images in ``rows`` [n]."""
        self._inputs, self._rows, self.batch_size = inputs, rows, batch_size
        n_batches = math.ceil(len(rows) / (batch_size * n_ranks)) * n_ranks
        padded = np.full(n_batches * batch_size, -1)
        padded[: len(rows)] = np.arange(len(rows))
        self._index = padded.reshape(n_batches, batch_size)[rank::n_ranks]

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, batch: int) -> dict[str, Tensor]:
        """One batch without padding; a batch of padding alone keeps one image."""
        index = self._index[batch]
        index = index[index >= 0] if (index >= 0).any() else index[:1]
        return {"inputs": self._inputs(self._rows[np.maximum(index, 0)]), "index": torch.from_numpy(index)}


@dataclass(frozen=True)
class CentreCrops:
    """Maps rows of a store to centre crops, uint8 [b, 3, S, S]."""

    store: ImageStore
    image_size: int
    eval_crop: float

    def __call__(self, rows: np.ndarray) -> Tensor:
        """Crop the images in ``rows``."""
        heights, widths = torch.from_numpy(self.store.heights[rows]), torch.from_numpy(self.store.widths[rows])
        return crop_batch(self.store.read, rows, center_crop_boxes(heights, widths, self.eval_crop), self.image_size)


def batch_loader(batches: Dataset, *, sampler: Sampler[int] | None = None, num_workers: int = 0) -> DataLoader:
    """A loader of ready-made batches."""
    return DataLoader(
        batches,
        batch_size=None,
        sampler=sampler,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def predict_scores(
    network: MultitaskNetwork, batches: EvaluationBatches, device: torch.device, num_workers: int = 0
) -> np.ndarray:
    """Class probabilities, or numbers, of all images of ``batches``, in their order, [n, N] float32."""
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    scores = []
    with torch.inference_mode():
        for batch in batch_loader(batches, num_workers=num_workers):
            logits = network.logits(batch["inputs"].to(device))
            scores.append(network.heads.scores(logits).float().cpu().numpy())
    return np.concatenate(scores)
