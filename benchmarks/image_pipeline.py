"""Training samples a second on one core, data pipeline alone: 224 px crops from 500 px JPEGs, second epoch and later.

Peer: what the original did, PIL and torchvision transforms in a DataLoader. Ours: crops from the image store, which was
written in a first pass, and colour changes of whole batches. Both end in normalised float batches.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.measure import compare, timed
from src.config.classifiers import AugmentationConfig
from src.config.datasets import TabularConfig
from src.data.images.store import ImageStore, write_store
from src.data.images.transforms import color_augment, crop_batch, random_resized_crop_boxes
from src.machine import keep_freed_memory

N_IMAGES, SIDE, CROP, BATCH = 256, 500, 224, 64
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
FOLDER = Path(tempfile.gettempdir()) / "image-pipeline"


def prepare() -> None:
    """Write smooth random pictures as JPEG, and the store."""
    rng = np.random.default_rng(0)
    (FOLDER / "images").mkdir(parents=True, exist_ok=True)
    names = [f"{number}.jpg" for number in range(N_IMAGES)]
    for name in names:
        coarse = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
        coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(FOLDER / "images" / name, quality=90)
    cfg = TabularConfig(name="benchmark", images_dir=str(FOLDER / "images"), store_size=256)
    write_store(FOLDER / "store", pd.DataFrame({"item_id": names, "path": names}), cfg, None)


class Files(Dataset):
    """Decodes and augments one image at a time."""

    def __init__(self) -> None:
        self.paths = sorted((FOLDER / "images").glob("*.jpg"))
        self.transform = transforms.Compose(
            [
                transforms.RandomResizedCrop(CROP),
                transforms.RandomHorizontalFlip(),
                transforms.ColorJitter(0.1, 0.1, 0.1, 0.1),
                transforms.RandomGrayscale(0.1),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> torch.Tensor:
        return self.transform(Image.open(self.paths[row]).convert("RGB"))


def peer() -> tuple[float, float]:
    """One epoch after a first one."""
    torch.set_num_threads(1)
    loader = DataLoader(Files(), batch_size=BATCH, shuffle=True)
    list(loader)
    return N_IMAGES, timed(lambda: [batch.sum() for batch in loader])


def ours() -> tuple[float, float]:
    """Four epochs after a first one, with freed memory kept as in training."""
    keep_freed_memory()
    torch.set_num_threads(1)
    store, cfg = ImageStore.open(FOLDER / "store"), AugmentationConfig()
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    heights, widths = torch.from_numpy(store.heights), torch.from_numpy(store.widths)
    generator = torch.Generator().manual_seed(0)

    def epoch() -> None:
        order = torch.randperm(N_IMAGES, generator=generator)
        for rows in order.split(BATCH):
            boxes = random_resized_crop_boxes(heights[rows], widths[rows], cfg.scale, cfg.ratio, generator)
            flip = torch.rand(len(rows), generator=generator) < cfg.horizontal_flip
            images = crop_batch(store.read, rows.numpy(), boxes, CROP, flip)
            color_augment(images, cfg, generator).sub_(mean).div_(std).sum()

    epoch()
    return 4 * N_IMAGES, timed(lambda: [epoch() for _ in range(4)])


if __name__ == "__main__":
    if not (FOLDER / "store").is_dir():
        prepare()
    compare("image_pipeline", "images", {"PIL and torchvision": peer, "ours": ours}, target=8.0)
