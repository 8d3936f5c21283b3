"""Training batches, each a function of seed and step alone.

Resuming needs no sampler state. All methods of a seed draw the same labelled images with the same augmentation. The
numbers of workers and devices do not change what is drawn.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from src.classifiers.targets.inputs import TrainingInputs
from src.config.classifiers import AugmentationConfig
from src.config.stages import ClassifierTrainingConfig
from src.data.images.store import ImageStore
from src.data.images.transforms import crop_batch, random_resized_crop_boxes
from src.randomness import ShuffledPasses, derive_seed

Source = Callable[[np.ndarray, torch.Generator, slice], Tensor]
"""Maps rows of the image store to training inputs of the shard among them."""


class TrainingBatches(Dataset):
    """Whole training batches by absolute step: labelled images, then unlabelled ones, then triplet positives.

    A batch holds ``inputs``, crops uint8 [M, 3, S, S] or frozen features [M, F]; ``n_labelled_images``; for the M'
    images before the positives ``targets`` [M', N], ``target_weight``, ``cf_target`` [M', f], ``has_cf_target`` and
    ``confidence`` [M']; and ``item`` [M'], indices of the train items. With several devices each gets its share of
    every part.
    """

    def __init__(
        self, cfg: ClassifierTrainingConfig, inputs: TrainingInputs, source: Source, rank: int, n_ranks: int
    ) -> None:
        self._inputs, self._source, self._seed = inputs, source, cfg.seed
        self._shard = slice(rank, None, n_ranks)
        self._contrastive = inputs.cf_target.shape[1] > 0 and cfg.method.auxiliary_loss == "contrastive"
        items = {"labelled": np.flatnonzero(inputs.labelled), "unlabelled": inputs.unlabelled}
        sizes = cfg.batch_size, n_unlabelled_images(cfg, len(items["labelled"]), len(items["unlabelled"]))
        self._sizes = {part: size for part, size in zip(items, sizes, strict=True) if size}
        self._items = {part: ShuffledPasses(items[part], derive_seed(cfg.seed, part)) for part in self._sizes}

    def __getitem__(self, step: int) -> dict[str, Any]:
        """The batch of an absolute step (counted over all epochs)."""
        parts = {part: self._items[part].take(step * size, size) for part, size in self._sizes.items()}
        item = np.concatenate([drawn[self._shard] for drawn in parts.values()])
        if self._contrastive:
            parts |= {f"{part} positives": self._inputs.nearest[drawn] for part, drawn in parts.items()}
        drawn = [self._draw(items, step, part) for part, items in parts.items()]
        inputs = self._inputs
        return {
            "inputs": torch.cat(drawn),
            "n_labelled_images": len(drawn[0]),
            "item": torch.from_numpy(item),
            "targets": inputs.targets[item],
            "target_weight": inputs.target_weight[item],
            "cf_target": inputs.cf_target[item],
            "has_cf_target": inputs.has_cf_target[item],
            "confidence": inputs.confidence[item],
        }

    def _draw(self, items: np.ndarray, step: int, part: str) -> Tensor:
        """Inputs of this device's share of ``items``; random numbers are drawn for all of them."""
        rows, n_images = self._inputs.image_row[items], self._inputs.n_images[items]
        if (n_images > 1).any():  # one of each item's images
            rows = rows + np.random.default_rng(derive_seed(self._seed, "image", part, step)).integers(n_images)
        generator = torch.Generator().manual_seed(derive_seed(self._seed, "crop", part, step))
        return self._source(rows, generator, self._shard)


@dataclass(frozen=True)
class RandomCrops:
    """Maps rows of a store to random crops, uint8 [b, 3, S, S]."""

    store: ImageStore
    augmentation: AugmentationConfig
    image_size: int

    def __call__(self, rows: np.ndarray, generator: torch.Generator, shard: slice) -> Tensor:
        """Draw for all rows, crop those of the shard."""
        heights, widths = torch.from_numpy(self.store.heights[rows]), torch.from_numpy(self.store.widths[rows])
        cfg = self.augmentation
        boxes = random_resized_crop_boxes(heights, widths, cfg.scale, cfg.ratio, generator)
        flip = torch.rand(len(rows), generator=generator) < cfg.horizontal_flip
        return crop_batch(self.store.read, rows[shard], boxes[shard], self.image_size, flip[shard])


def n_unlabelled_images(cfg: ClassifierTrainingConfig, n_labelled: int, n_unlabelled: int) -> int:
    """Unlabelled images a step: their natural share beside the labelled ones, at most ``unlabelled_batch_size``."""
    most = cfg.batch_size if cfg.unlabelled_batch_size is None else cfg.unlabelled_batch_size
    return min(most, math.ceil(cfg.batch_size * n_unlabelled / n_labelled))


class StepSampler(Sampler[int]):
    """The absolute steps of the epoch that begins, in order.

    It reads the steps taken instead of ``set_epoch``, which Lightning calls too late and wrongly after a resume.
    """

    def __init__(self, steps_per_epoch: int, steps_taken: Callable[[], int]) -> None:
        self._steps_per_epoch, self._steps_taken = steps_per_epoch, steps_taken

    def __len__(self) -> int:
        return self._steps_per_epoch

    def __iter__(self) -> Iterator[int]:
        first = self._steps_taken()
        return iter(range(first, first + self._steps_per_epoch))
