import pytest
import torch

from src.classifiers.training.schedule import build_optimizer, lr_factor
from src.config.classifiers import AdamWCosineConfig, SGDMultistepConfig


def test_milestones_divide_the_learning_rate_by_ten():
    cfg = SGDMultistepConfig(milestones=[0.65, 0.99])
    assert [lr_factor(cfg, progress) for progress in (0.0, 0.64, 0.65, 0.99)] == pytest.approx([1, 1, 0.1, 0.01])


def test_cosine_warms_up_and_ends_near_zero():
    factors = [lr_factor(AdamWCosineConfig(warmup=0.1), step / 100) for step in range(100)]
    assert factors[:11] == sorted(factors[:11])
    assert factors[10] == pytest.approx(1.0)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] < 0.001


def test_every_phase_starts_the_schedule_anew():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer, schedule = build_optimizer([parameter], AdamWCosineConfig(), 0.5, steps_per_phase=10)
    rates = []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[:10] == pytest.approx(rates[10:])
    assert max(rates) == pytest.approx(0.5)


def test_biases_and_norms_are_not_decayed():
    optimizer, _ = build_optimizer(torch.nn.Linear(2, 2).parameters(), AdamWCosineConfig(weight_decay=0.1), 0.1, 10)
    assert {group["params"][0].ndim: group["weight_decay"] for group in optimizer.param_groups} == {2: 0.1, 1: 0.0}
