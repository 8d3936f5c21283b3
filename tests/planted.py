"""A generated dataset on which CF must help: many classes, few labels, and users who know the classes well."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

SIZE = 32
N_CLASSES = 12


def write_planted_dataset(folder: Path, n_items: int = 480, n_users: int = 1500, seed: int = 0) -> Path:
    """Write ``items.csv``, ``interactions.csv`` and ``images/`` to ``folder`` and return it.

    Each item has one latent class. It shows in the pixels as a smooth pattern of its own under stronger nuisance
    patterns, in the labels as its name, and in the interactions, since each user likes items of two classes.
    """
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    patterns = np.stack([_smooth(rng) for _ in range(N_CLASSES)])
    of_item = rng.integers(N_CLASSES, size=n_items)
    for index, latent in enumerate(of_item):
        image = 128 + 12 * patterns[latent] + 30 * _smooth(rng) + rng.normal(0, 25, (SIZE, SIZE, 3))
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"i{index}.png")
    items = [(f"i{index}", f"i{index}.png", f"class{latent}") for index, latent in enumerate(of_item)]
    pd.DataFrame(items, columns=["item_id", "image", "labels"]).to_csv(folder / "items.csv", index=False)
    pairs = []
    for user in range(n_users):
        liked = np.isin(of_item, rng.choice(N_CLASSES, size=2, replace=False))
        weights = np.where(liked, 1.0, 0.02)
        chosen = rng.choice(n_items, size=12, replace=False, p=weights / weights.sum())
        pairs += [(f"u{user}", f"i{index}") for index in chosen]
    pd.DataFrame(pairs, columns=["user_id", "item_id"]).to_csv(folder / "interactions.csv", index=False)
    return folder


def _smooth(rng: np.random.Generator) -> np.ndarray:
    """A random smooth colour pattern, (SIZE, SIZE, 3), zero mean and unit deviation."""
    coarse = rng.normal(size=(5, 5, 3))
    channels = [
        np.asarray(Image.fromarray(coarse[:, :, c].astype(np.float32)).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
        for c in range(3)
    ]
    pattern = np.stack(channels, axis=-1)
    return (pattern - pattern.mean()) / pattern.std()
