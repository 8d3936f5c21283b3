"""Losses as pure functions of tensors; reductions over images are left to the caller."""

import torch
import torch.nn.functional as F
from torch import Tensor

from src.config import LossConfig

MAX_EXPONENT = 10.0


def classification_loss(logits: Tensor, targets: Tensor, positive_weight: Tensor) -> Tensor:
    """Class-balanced binary cross-entropy, mean over classes, [B].

    Args:
        logits: [B, N].
        targets: [B, N], 0 to 1; soft targets are mixtures of both terms.
        positive_weight: [N], weight of each class's positive term.

    Source: paper, eq. 1 (which omits the minus sign).
    """
    return F.binary_cross_entropy_with_logits(
        logits.float(), targets, pos_weight=positive_weight, reduction="none"
    ).mean(dim=1)


def asymmetric_loss(logits: Tensor, targets: Tensor, positive_weight: Tensor, cfg: LossConfig) -> Tensor:
    """Class-balanced cross-entropy in which well-ranked labels count little, negatives less than positives, [B].

    -y (1 - p)^gamma_positive log p - (1 - y) q^gamma_negative log(1 - q), q = max(p - margin, 0): most of a rare
    label's negatives are easy, and no longer outweigh its few positives.

    Args:
        logits: [B, N].
        targets: [B, N], 0 to 1; soft targets are mixtures of both terms.
        positive_weight: [N], weight of each class's positive term.
        cfg: The exponents and the margin.

    Source: Ridnik et al., Asymmetric loss for multi-label classification, 2021.
    """
    logits = logits.float()
    probs = logits.sigmoid()
    shifted = (probs - cfg.probability_margin).clamp(min=0)
    positive = positive_weight * (1 - probs).pow(cfg.gamma_positive) * F.logsigmoid(logits)
    negative = shifted.pow(cfg.gamma_negative) * torch.log1p(-shifted.clamp(max=1 - 1e-7))
    return -(targets * positive + (1 - targets) * negative).mean(dim=1)


def squared_loss(values: Tensor, targets: Tensor) -> Tensor:
    """Mean over targets of the squared difference, of values and targets [B, N]: [B]."""
    return (values.float() - targets).square().mean(dim=1)


def label_loss(logits: Tensor, targets: Tensor, positive_weight: Tensor, cfg: LossConfig) -> Tensor:
    """The main loss that ``cfg.label`` names, of logits and targets [B, N]: [B]."""
    if cfg.label == "asymmetric":
        return asymmetric_loss(logits, targets, positive_weight, cfg)
    return classification_loss(logits, targets, positive_weight)


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
    """MTL-reconstruct's distance between predicted and true CF vectors, exp(L1 + L2) - 1 on normalised norms, [B].

    Args:
        cf_pred: [B, f].
        cf_target: [B, f].
        distance: ``paper``: |d|_1 / f + |d|_2 / sqrt(f); ``squared`` (the original code): mean |d| + mean d^2.

    Returns:
        Non-negative, 0 for equal vectors; linear above an exponent of 10, so that it never overflows.

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
