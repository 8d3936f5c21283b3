"""Training batches, each a function of (seed, step) alone.

So resuming needs no sampler state, every method of a seed draws the same labelled images with the same augmentation,
and neither the number of workers nor of devices changes what is drawn.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from src.classifiers.inputs import TrainingInputs
from src.config import AugmentationConfig, ClassifierTrainingConfig
from src.data.store import ImageStore
from src.data.transforms import crop_batch, random_resized_crop_boxes
from src.runs import derive_seed


class ShuffledStream:
    """An endless sequence of indices: shuffled passes over ``indices``, one after the other, by seed."""

    def __init__(self, indices: np.ndarray, seed: int) -> None:
        """Draw from ``indices``, which must not be empty."""
        self._indices = indices
        self._seed = seed
        self._passes: dict[int, np.ndarray] = {}

    def take(self, start: int, count: int) -> np.ndarray:
        """The indices at positions ``start`` .. ``start + count - 1``, [count] int64."""
        n = len(self._indices)
        first, last = start // n, (start + count - 1) // n
        self._passes = {number: self._shuffled(number) for number in range(first, last + 1)}
        joined = np.concatenate([self._passes[number] for number in range(first, last + 1)])
        return joined[start - first * n : start - first * n + count]

    def _shuffled(self, number: int) -> np.ndarray:
        if number in self._passes:
            return self._passes[number]
        return np.random.default_rng(derive_seed(self._seed, number)).permutation(self._indices)


class TrainingBatches(Dataset):
    """Whole training batches by absolute step: labelled images, then unlabelled ones, then triplet positives.

    A batch holds ``images`` uint8 [M, 3, S, S]; ``n_labelled_images``; for the M' images before the positives
    ``targets`` [M', N], ``target_weight``, ``cf_target`` [M', f], ``has_cf_target`` and ``confidence`` [M']; and
    ``item`` [M'], indices of the train items. With several devices each gets its share of every part.
    """

    def __init__(
        self, cfg: ClassifierTrainingConfig, inputs: TrainingInputs, store: ImageStore, rank: int, n_ranks: int
    ) -> None:
        self._inputs, self._store = inputs, store
        self._augmentation, self._size, self._seed = cfg.augmentation, cfg.image_size, cfg.seed
        self._shard = slice(rank, None, n_ranks)
        self._contrastive = inputs.cf_target.shape[1] > 0 and cfg.method.auxiliary_loss == "contrastive"
        labelled, unlabelled = np.flatnonzero(inputs.labelled), inputs.unlabelled
        self._n_labelled = cfg.batch_size
        self._n_unlabelled = n_unlabelled_images(cfg, len(labelled), len(unlabelled))
        self._labelled = ShuffledStream(labelled, derive_seed(cfg.seed, "labelled"))
        self._unlabelled = ShuffledStream(unlabelled, derive_seed(cfg.seed, "unlabelled"))

    def __getitem__(self, step: int) -> dict[str, Any]:
        """The batch of an absolute step (counted over all epochs)."""
        labelled = self._labelled.take(step * self._n_labelled, self._n_labelled)
        images = [self._crops(labelled, step, "labelled")]
        item = labelled[self._shard]
        if self._n_unlabelled:
            unlabelled = self._unlabelled.take(step * self._n_unlabelled, self._n_unlabelled)
            images.append(self._crops(unlabelled, step, "unlabelled"))
            item = np.concatenate([item, unlabelled[self._shard]])
        if self._contrastive:
            drawn = labelled if not self._n_unlabelled else np.concatenate([labelled, unlabelled])
            positives = self._crops(self._inputs.nearest[labelled], step, "labelled positives")
            images.append(positives)
            if self._n_unlabelled:
                images.append(self._crops(self._inputs.nearest[drawn[len(labelled) :]], step, "unlabelled positives"))
        inputs = self._inputs
        return {
            "images": torch.cat(images),
            "n_labelled_images": len(images[0]),
            "item": torch.from_numpy(item),
            "targets": inputs.targets[item],
            "target_weight": inputs.target_weight[item],
            "cf_target": inputs.cf_target[item],
            "has_cf_target": inputs.has_cf_target[item],
            "confidence": inputs.confidence[item],
        }

    def _crops(self, items: np.ndarray, step: int, part: str) -> Tensor:
        """Random crops of ``items``, drawn for the whole batch and then cut to this device's share."""
        generator = torch.Generator().manual_seed(derive_seed(self._seed, "crop", part, step))
        rows = self._inputs.image_row[items]
        heights, widths = torch.from_numpy(self._store.heights[rows]), torch.from_numpy(self._store.widths[rows])
        augmentation: AugmentationConfig = self._augmentation
        boxes = random_resized_crop_boxes(heights, widths, augmentation.scale, augmentation.ratio, generator)
        flip = torch.rand(len(items), generator=generator) < augmentation.horizontal_flip
        return crop_batch(self._store, rows[self._shard], boxes[self._shard], self._size, flip[self._shard])


def n_unlabelled_images(cfg: ClassifierTrainingConfig, n_labelled: int, n_unlabelled: int) -> int:
    """Unlabelled images a step: their natural share beside the labelled ones, at most ``unlabelled_batch_size``."""
    most = cfg.batch_size if cfg.unlabelled_batch_size is None else cfg.unlabelled_batch_size
    return min(most, math.ceil(cfg.batch_size * n_unlabelled / n_labelled))


class StepSampler(Sampler[int]):
    """The absolute steps of the epoch that begins.

    It asks how many steps were taken, instead of being told the epoch (``set_epoch``), since Lightning tells a resumed
    run's first epoch neither in time nor right.
    """

    def __init__(self, steps_per_epoch: int, steps_taken: Callable[[], int]) -> None:
        self._steps_per_epoch = steps_per_epoch
        self._steps_taken = steps_taken

    def __len__(self) -> int:
        """Steps an epoch."""
        return self._steps_per_epoch

    def __iter__(self) -> Iterator[int]:
        """Steps in order; the shuffling is in the stream."""
        first = self._steps_taken()
        return iter(range(first, first + self._steps_per_epoch))
