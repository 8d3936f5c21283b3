import math

import pytest
import torch
import torch.nn.functional as F

from src.classifiers.losses import (
    MAX_EXPONENT,
    classification_loss,
    positive_weights,
    reconstruction_loss,
    triplet_loss,
)


def test_classification_loss_by_hand():
    logits = torch.tensor([[0.0, 0.0]])
    targets = torch.tensor([[1.0, 0.0]])
    loss = classification_loss(logits, targets, torch.tensor([3.0, 5.0]))
    assert loss.tolist() == pytest.approx([(3 * math.log(2) + math.log(2)) / 2])


def test_soft_targets_mix_both_terms():
    logits, weight = torch.tensor([[1.5]]), torch.tensor([2.0])
    both = [classification_loss(logits, torch.tensor([[target]]), weight) for target in (0.0, 0.3, 1.0)]
    assert torch.allclose(both[1], 0.7 * both[0] + 0.3 * both[2])


def test_positive_weights_of_each_scheme():
    eta = torch.tensor([1.0, 4.0, 0.0])
    weights = positive_weights(eta, 10, "normalized_inverse")
    assert weights.tolist() == pytest.approx([1.6, 0.4, 0.0])
    assert weights[:2].mean() == pytest.approx(1.0)
    assert positive_weights(eta, 10, "balanced").tolist() == pytest.approx([10.0, 2.5, 0.0])
    assert positive_weights(eta, 10, "none").tolist() == [1.0, 1.0, 0.0]


def test_no_class_with_positives_gives_zero_weights():
    assert positive_weights(torch.zeros(2), 0, "normalized_inverse").tolist() == [0.0, 0.0]


def test_reconstruction_loss_by_hand():
    pred, target = torch.tensor([[3.0, 4.0, 0.0, 0.0]]), torch.zeros(1, 4)
    assert reconstruction_loss(pred, target).item() == pytest.approx(math.expm1(7 / 4 + 5 / 2), rel=1e-5)
    assert reconstruction_loss(pred, target, "squared").item() == pytest.approx(math.expm1(7 / 4 + 25 / 4), rel=1e-5)
    assert reconstruction_loss(target, target).item() == 0.0


def test_reconstruction_loss_is_linear_above_the_bound_and_smooth_at_it():
    target = torch.zeros(1, 1)
    edge = torch.tensor([[MAX_EXPONENT / 2]], requires_grad=True)
    below = reconstruction_loss(edge - 1e-3, target)
    above = reconstruction_loss(edge + 1e-3, target)
    (slope_below,) = torch.autograd.grad(below, edge, retain_graph=True)
    (slope_above,) = torch.autograd.grad(above, edge)
    assert slope_above.item() == pytest.approx(slope_below.item(), rel=1e-2)
    far = torch.tensor([[1e6]], requires_grad=True)
    value = reconstruction_loss(far, target)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert far.grad.item() == pytest.approx(2 * math.e**MAX_EXPONENT, rel=1e-4)


def test_gradients_are_finite_where_prediction_equals_target():
    pred = torch.zeros(2, 3, requires_grad=True)
    (reconstruction_loss(pred, torch.zeros(2, 3)).sum() + triplet_loss(pred, pred, pred, 0.2).sum()).backward()
    assert torch.isfinite(pred.grad).all()


def test_triplet_loss_agrees_with_torch():
    torch.manual_seed(0)
    anchor, positive, negative = torch.randn(3, 5, 7)
    expected = F.triplet_margin_loss(anchor, positive, negative, margin=0.2, eps=0.0, reduction="none")
    assert torch.allclose(triplet_loss(anchor, positive, negative, 0.2), expected, atol=1e-5)
