"""Image files that no dataset knows: decoded as the store does it, and cropped as for evaluation."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from src.config.datasets import DatasetConfig
from src.data.images.decode import RefusedImageError
from src.data.images.store import load_image
from src.data.images.transforms import center_crop_boxes, crop_batch
from src.machine import map_in_order


@dataclass(frozen=True)
class NewBatch:
    """Some image files."""

    paths: list[Path]  # as they were given or found, [b]
    errors: list[str | None]  # why a file cannot be used, or None, [b]
    images: Tensor  # centre crops of the usable ones, in order, [k, 3, S, S] uint8


def load_batches(
    paths: Iterator[Path], cfg: DatasetConfig, image_size: int, eval_crop: float, batch_size: int, n_threads: int
) -> Iterator[NewBatch]:
    """Decode files of any kind in parallel and yield them in batches, cropped to ``eval_crop`` of the short side.

    Sizes and limits ``cfg`` are those of the images that the network was trained on.
    """

    def decode(path: Path) -> np.ndarray | str:
        try:
            if not path.is_file():  # reading a pipe would wait for ever
                return "file is missing, or no regular file"
            return np.array(load_image(path, cfg).pixels)  # torch takes no read-only memory
        except RefusedImageError as reason:
            return str(reason)
        except OSError:
            return "path cannot be followed"

    decoded = map_in_order(decode, paths, n_threads)
    while batch := list(islice(decoded, batch_size)):
        pixels = [result for _, result in batch if not isinstance(result, str)]
        heights, widths = (torch.tensor([image.shape[axis] for image in pixels]) for axis in (0, 1))
        boxes = center_crop_boxes(heights, widths, eval_crop) if pixels else torch.empty((0, 4), dtype=torch.int64)
        yield NewBatch(
            [path for path, _ in batch],
            [result if isinstance(result, str) else None for _, result in batch],
            crop_batch(pixels.__getitem__, np.arange(len(pixels)), boxes, image_size),
        )
