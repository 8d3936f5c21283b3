"""Losses as pure functions of tensors, one value for each image."""

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_EXPONENT = 10.0


def classification_loss(logits: Tensor, targets: Tensor, positive_weight: Tensor) -> Tensor:
    """Binary cross-entropy of logits [B, N] and targets [B, N], 0 to 1, mean over classes, [B].

    ``positive_weight`` [N] weights each class's positive term. Source: paper, eq. 1 (which omits the minus sign).
    """
    return F.binary_cross_entropy_with_logits(
        logits.float(), targets, pos_weight=positive_weight, reduction="none"
    ).mean(dim=1)


def squared_loss(values: Tensor, targets: Tensor) -> Tensor:
    """Mean over targets of the squared difference, of values and targets [B, N]: [B]."""
    return (values.float() - targets).square().mean(dim=1)


def positive_weights(n_positives: Tensor, n_labelled: int, scheme: str) -> Tensor:
    """Weight of each class's positive term, [N]; classes without labelled positives get 0.

    Args:
        n_positives: eta, labelled training images of each class, [N].
        n_labelled: Labelled training images.
        scheme: ``normalized_inverse``: 1 / eta, mean 1 over classes that have positives (paper, section 3.4);
            ``balanced``: n / eta (the original code); ``none``: 1.
    """
    eta = n_positives.float()
    present = eta > 0
    if scheme == "none":
        return present.float()
    inverse = torch.where(present, 1.0 / eta.clamp(min=1.0), torch.zeros_like(eta))
    if scheme == "balanced":
        return inverse * n_labelled
    return inverse * (present.sum() / inverse.sum().clamp(min=torch.finfo(torch.float32).tiny))


def reconstruction_loss(cf_pred: Tensor, cf_target: Tensor, distance: str = "paper") -> Tensor:
    """MTL-reconstruct's distance exp(e) - 1 between predicted and true CF vectors [B, f], [B].

    e is |d|_1 / f + |d|_2 / sqrt(f) for ``paper``, and mean |d| + mean d^2 for ``squared`` (the original code).
    Above e = 10 the distance is linear, so that it does not overflow.

    Source: paper, section 3.4; the norms are divided by f and sqrt(f) so that alpha does not depend on f.
    """
    difference = cf_pred.float() - cf_target
    l1 = difference.abs().mean(dim=1)
    squared = difference.square().mean(dim=1)
    exponent = l1 + (squared if distance == "squared" else _safe_sqrt(squared))
    return torch.expm1(exponent.clamp(max=MAX_EXPONENT)) + torch.e**MAX_EXPONENT * F.relu(exponent - MAX_EXPONENT)


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """max(L2(anchor, positive) - L2(anchor, negative) + margin, 0) on predicted CF vectors [B, f]; [B].

    Source: paper, section 4.3.1.
    """
    near = _safe_sqrt((anchor.float() - positive.float()).square().sum(dim=1))
    far = _safe_sqrt((anchor.float() - negative.float()).square().sum(dim=1))
    return F.relu(near - far + margin)


def _safe_sqrt(value: Tensor) -> Tensor:
    """Square root whose gradient at 0 is 0 instead of infinite."""
    positive = value > 0
    return torch.where(positive, torch.where(positive, value, torch.ones_like(value)).sqrt(), torch.zeros_like(value))
