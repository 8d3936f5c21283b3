"""What a network learns to predict: classes or numbers. A task defines targets, loss, selection and metrics."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from src.classifiers.losses import classification_loss, squared_loss
from src.config.datasets import CLASSIFICATION, REGRESSION
from src.data.folds import FoldData
from src.evaluation.protocols.regression import coefficient_of_determination
from src.evaluation.statistics.metrics import average_precision, mean_average_precision


class Classification:
    """Multi-hot labels."""

    def targets(
        self, fold: FoldData, train: pd.DataFrame, val: pd.DataFrame, labelled: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, Tensor | None]:
        """Targets of train items [n, N], 0 where not ``labelled``, of validation items [m, N], and their scale."""
        return fold.targets(train) * labelled[:, None], fold.targets(val).astype(np.uint8), None

    def loss(self, logits: Tensor, targets: Tensor, positive_weight: Tensor) -> Tensor:
        """Main loss of logits and targets [B, N], not weighted by image, [B]."""
        return classification_loss(logits, targets, positive_weight)

    def validate(self, targets: np.ndarray, logits: np.ndarray, loss: float) -> tuple[dict[str, float], float]:
        """An epoch's metrics by logged name, and the value that selects the best epoch: positive, higher is better."""
        value = mean_average_precision(targets, logits)
        return {"val/mAP": value, "val/loss": loss}, value if np.isfinite(value) else 0.0

    def metrics(
        self, names: list[str], targets: np.ndarray, scores: np.ndarray, scale: Tensor | None
    ) -> dict[str, Any]:
        """Validation metrics of the best epoch, of targets and scores [m, N]: mAP, and each label's AP."""
        per_class = zip(names, average_precision(targets, scores).tolist(), strict=True)
        return {
            "val_mAP": mean_average_precision(targets, scores),
            "val_AP": {name: None if np.isnan(value) else value for name, value in per_class},
        }


class Regression:
    """Numbers, standardised by the labelled train items; methods as of ``Classification``."""

    def targets(
        self, fold: FoldData, train: pd.DataFrame, val: pd.DataFrame, labelled: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, Tensor | None]:
        """Standardised values, and their mean and deviation, [2, N]."""
        values = fold.targets(train)
        mean, deviation = values[labelled].mean(axis=0), np.maximum(values[labelled].std(axis=0), 1e-6)
        scale = torch.from_numpy(np.stack([mean, deviation]))
        return (values - mean) / deviation * labelled[:, None], (fold.targets(val) - mean) / deviation, scale

    def loss(self, logits: Tensor, targets: Tensor, positive_weight: Tensor) -> Tensor:
        """Mean squared error, [B]."""
        return squared_loss(logits, targets)

    def validate(self, targets: np.ndarray, logits: np.ndarray, loss: float) -> tuple[dict[str, float], float]:
        """The smallest error selects."""
        return {"val/loss": loss}, 1 / (1 + loss)

    def metrics(
        self, names: list[str], targets: np.ndarray, scores: np.ndarray, scale: Tensor | None
    ) -> dict[str, Any]:
        """R^2 of each target; ``scores`` are in its unit."""
        assert scale is not None
        r2 = coefficient_of_determination(targets * scale[1].numpy() + scale[0].numpy(), scores)
        return {"val_R2": dict(zip(names, r2.tolist(), strict=True))}


Task = Classification | Regression
TASKS: dict[str, Task] = {CLASSIFICATION: Classification(), REGRESSION: Regression()}
