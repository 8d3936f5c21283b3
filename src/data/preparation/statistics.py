"""The figures of the paper's Table 2."""

from typing import Any

import numpy as np
import pandas as pd

from src.data.preparation.catalog import count_labels
from src.data.preparation.interactions import Cleaned


def describe(items: pd.DataFrame, interactions: Cleaned, label_names: list[str]) -> dict[str, Any]:
    """Count images, users and labels, and how densely and evenly they go together.

    ``sparsity`` is what the paper's Table 2 calls so: the share of user-item pairs with an interaction. The averages
    and the Gini index are over items with an image.

    Source: paper, Table 2.
    """
    counts = count_labels(items)
    with_image = items[items["image_path"].notna()]
    labelled = with_image.loc[with_image["labels"].notna(), "labels"]
    pairs = interactions.n_users * len(items)
    return {
        "images": len(with_image),
        "items": len(items),
        "image_groups": int(with_image["image_group"].nunique()),
        "interactions": interactions.n_interactions,
        "users": interactions.n_users,
        "sparsity": interactions.n_interactions / pairs if pairs else 0.0,
        "labels": len(label_names),
        "labelled_images": len(labelled),
        "average_positive_labels": float(labelled.map(len).mean()) if len(labelled) else 0.0,
        "gini_index": gini_index([counts[name] for name in label_names]),
        "images_with_interactions": int((interactions.users_of_item > 0)[items["image_path"].notna()].sum()),
    }


def gini_index(counts: list[int]) -> float:
    """Gini index of items over labels: 0 when all labels have as many, towards 1 when one has nearly all.

    With counts x sorted upwards: sum_i (2 i - n - 1) x_i / (n sum x).
    """
    values = np.sort(np.asarray(counts, dtype=np.float64))
    n = len(values)
    total = values.sum()
    if n == 0 or total == 0:
        return 0.0
    return float(((2 * np.arange(1, n + 1) - n - 1) * values).sum() / (n * total))
