"""Two methods' predictions for the test images of one fold: what both resampling procedures compare."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PairedFold:
    """Aligned predictions of a baseline and a candidate on one fold's test set, one array for each seed.

    Attributes:
        targets: Multi-hot labels, (n_items, n_classes).
        image_group: (n_items,) str; items that share a value show the same image and are never treated as independent.
        scores_baseline: For each seed (n_items, n_classes), rows aligned with ``targets``.
        scores_candidate: The same seeds in the same order.
    """

    targets: np.ndarray
    image_group: np.ndarray
    scores_baseline: Sequence[np.ndarray]
    scores_candidate: Sequence[np.ndarray]

    def __post_init__(self) -> None:
        """Check that both methods have the same seeds and that groups match the items."""
        if len(self.scores_baseline) != len(self.scores_candidate) or not len(self.scores_baseline):
            raise ValueError(
                "Expected the same seeds, at least one, for both methods, but got "
                f"{len(self.scores_baseline)} and {len(self.scores_candidate)} runs; compare only the pairs both have."
            )
        if self.image_group.shape != (len(self.targets),):
            raise ValueError(
                f"Expected one image group for each of {len(self.targets)} items, but got shape "
                f"{self.image_group.shape}; give items without duplicates a group of their own."
            )
