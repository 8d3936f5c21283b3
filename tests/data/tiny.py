"""A generated dataset with planted structure, for tests of every stage.

Each item has one of four latent classes, a quarter of the items a second one. The classes show in the pixels (colour
and stripes under noise), in the labels (one a class, and two that join classes), and in the interactions (users prefer
a class), so whatever learns from one of them can predict the others.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from src.config.datasets import TabularConfig
from src.config.stages import PrepareConfig

HEIGHT, WIDTH = 48, 40
CLASSES = ("fire", "forest", "sea", "night")
COLOURS = np.array([[210, 70, 50], [60, 160, 70], [50, 90, 200], [40, 40, 60]], dtype=np.float64)
STRIPES = ((0.0, 0.5), (0.5, 0.0), (0.35, 0.35), (0.0, 0.0))  # radians a pixel, down and across


def write_tiny_dataset(folder: Path, n_items: int = 120, n_users: int = 200, seed: int = 0) -> Path:
    """Write ``items.csv``, ``interactions.csv`` and ``images/`` to ``folder`` and return it.

    The same arguments give the same bytes.
    """
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    shares = _draw_shares(rng, n_items)
    items = []
    for index in range(n_items):
        item_id = f"item{index:04d}"
        _save_image(folder / "images" / f"{item_id}.png", shares[index], rng)
        items.append({"item_id": item_id, "image": f"{item_id}.png", "labels": "|".join(_labels(shares[index]))})
    pd.DataFrame(items).to_csv(folder / "items.csv", index=False)
    pairs = []
    for user in range(n_users):
        weights = shares[:, user % len(CLASSES)] + 0.04
        chosen = rng.choice(n_items, size=int(rng.integers(5, 15)), replace=False, p=weights / weights.sum())
        pairs += [{"user_id": f"user{user:04d}", "item_id": f"item{index:04d}"} for index in chosen]
    pd.DataFrame(pairs).to_csv(folder / "interactions.csv", index=False)
    return folder


def tiny_config(
    folder: Path, outputs_dir: Path, *, force: bool = False, figures: bool = False, **changes: Any
) -> PrepareConfig:
    """The prepare config of a dataset written to ``folder``; ``changes`` are fields of its ``TabularConfig``."""
    settings = {
        "name": "tiny",
        "raw_dir": str(folder),
        "images_dir": str(folder / "images"),
        "store_size": 32,
    } | changes
    dataset = TabularConfig(**settings)
    return PrepareConfig(dataset, outputs_dir=str(outputs_dir), force=force, num_workers=1, figures=figures)


def _draw_shares(rng: np.random.Generator, n_items: int) -> np.ndarray:
    """Share of each class in each item, (n_items, 4), rows sum to one."""
    shares = np.zeros((n_items, len(CLASSES)))
    for row in shares:
        first, second = rng.choice(len(CLASSES), size=2, replace=False)
        row[first] += 1.0
        if rng.random() < 0.25:
            row[first], row[second] = 0.65, 0.35
    return shares


def _labels(share: np.ndarray) -> list[str]:
    labels = [name for name, value in zip(CLASSES, share, strict=True) if value > 0]
    if share[0] + share[1] > 0.5:
        labels.append("land")
    if share[3] + share[2] > 0.9:
        labels.append("dark")
    return labels


def _save_image(path: Path, share: np.ndarray, rng: np.random.Generator) -> None:
    down, across = np.mgrid[:HEIGHT, :WIDTH]
    image = np.zeros((HEIGHT, WIDTH, 3))
    for value, colour, (a, b) in zip(share, COLOURS, STRIPES, strict=True):
        wave = 1 + 0.35 * np.sin(a * down + b * across + rng.uniform(0, 2 * np.pi))
        image += value * colour * wave[:, :, None]
    image = image * rng.uniform(0.8, 1.2) + rng.normal(0, 25, image.shape)
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(path)
