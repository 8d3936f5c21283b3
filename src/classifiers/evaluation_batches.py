"""Batches of centre crops for evaluation, and the loader that all batches go through."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from src.data.store import ImageStore
from src.data.transforms import center_crop_boxes, crop_batch


class EvaluationBatches(Dataset):
    """Centre crops in fixed batches; with several devices each gets every n-th batch, padded with index -1.

    A batch holds ``images`` uint8 [b, 3, S, S] and ``index`` [b] int64, the position in ``rows`` or -1.
    """

    def __init__(
        self,
        store: ImageStore,
        rows: np.ndarray,
        *,
        image_size: int,
        eval_crop: float,
        batch_size: int,
        rank: int = 0,
        n_ranks: int = 1,
    ) -> None:
        self._store, self._rows = store, rows
        self.batch_size = batch_size
        self._size, self._eval_crop = image_size, eval_crop
        n_batches = math.ceil(len(rows) / (batch_size * n_ranks)) * n_ranks
        padded = np.full(n_batches * batch_size, -1)
        padded[: len(rows)] = np.arange(len(rows))
        self._index = padded.reshape(n_batches, batch_size)[rank::n_ranks]

    def __len__(self) -> int:
        """Batches of this device."""
        return len(self._index)

    def __getitem__(self, batch: int) -> dict[str, Tensor]:
        """One batch; the images of padding are left out unless the batch has nothing else."""
        index = self._index[batch]
        index = index[index >= 0] if (index >= 0).any() else index[:1]
        rows = self._rows[np.maximum(index, 0)]
        heights, widths = torch.from_numpy(self._store.heights[rows]), torch.from_numpy(self._store.widths[rows])
        boxes = center_crop_boxes(heights, widths, self._eval_crop)
        return {"images": crop_batch(self._store, rows, boxes, self._size, None), "index": torch.from_numpy(index)}


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
