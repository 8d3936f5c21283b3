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
    position of each image's item or -1.
    """

    def __init__(
        self, inputs: Inputs, images: tuple[np.ndarray, np.ndarray], batch_size: int, rank: int = 0, n_ranks: int = 1
    ) -> None:
        """Evaluate on the store's images ``images``, as ``images_of`` has them."""
        (rows, self._item), self._inputs, self.batch_size = images, inputs, batch_size
        self._rows = rows
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
        item = np.where(index < 0, -1, self._item[index])
        return {"inputs": self._inputs(self._rows[np.maximum(index, 0)]), "index": torch.from_numpy(item)}


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


def average(logits: Tensor, index: Tensor, n_items: int) -> Tensor:
    """Mean logits of each item's images, [n_items, N], where ``index`` [n] is the place of each image's item."""
    total = torch.zeros(n_items, logits.shape[1], device=logits.device).index_add_(0, index, logits)
    return total / torch.bincount(index, minlength=n_items).clamp(min=1)[:, None]


def predict_scores(
    network: MultitaskNetwork, batches: EvaluationBatches, device: torch.device, num_workers: int = 0
) -> np.ndarray:
    """Class probabilities, or numbers, of all items of ``batches``, in their order, [n, N] float32."""
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    logits, index = [], []
    with torch.inference_mode():
        for batch in batch_loader(batches, num_workers=num_workers):
            logits.append(network.logits(batch["inputs"].to(device)).float())
            index.append(batch["index"].to(device))
        places = torch.cat(index)
        return network.heads.scores(average(torch.cat(logits), places, int(places.max()) + 1)).float().cpu().numpy()
