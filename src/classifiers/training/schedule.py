"""Optimizers and learning-rate schedules, which restart with each phase of a method."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR

from src.config.classifiers import AdamWCosineConfig, SGDMultistepConfig

AnyOptimizer = SGDMultistepConfig | AdamWCosineConfig


def build_optimizer(
    parameters: Iterable[torch.nn.Parameter], cfg: AnyOptimizer, lr: float, steps_per_phase: int
) -> tuple[torch.optim.Optimizer, LambdaLR]:
    """Build an optimizer with peak rate ``lr`` and its schedule, which restarts after ``steps_per_phase`` steps."""
    optimizer: torch.optim.Optimizer
    every = list(parameters)
    # Fused takes a quarter of the time on a CPU. On a GPU it gains little, and excludes gradient clipping in mixed
    # precision.
    fused = all(parameter.device.type == "cpu" for parameter in every)
    if isinstance(cfg, SGDMultistepConfig):
        optimizer = torch.optim.SGD(every, lr=lr, momentum=cfg.momentum, weight_decay=cfg.weight_decay, fused=fused)
    else:
        groups: list[dict[str, Any]] = [
            {"params": [parameter for parameter in every if parameter.ndim > 1]},
            {"params": [parameter for parameter in every if parameter.ndim <= 1], "weight_decay": 0.0},
        ]
        eps = 1e-4 if any(parameter.dtype == torch.float16 for parameter in every) else 1e-8  # 1e-8 is 0 there
        optimizer = torch.optim.AdamW(groups, lr=lr, weight_decay=cfg.weight_decay, eps=eps, fused=fused)
    return optimizer, LambdaLR(optimizer, lambda step: lr_factor(cfg, (step % steps_per_phase) / steps_per_phase))


def lr_factor(cfg: AnyOptimizer, progress: float) -> float:
    """Share of the peak learning rate at ``progress`` (0 to 1) of a phase."""
    if isinstance(cfg, SGDMultistepConfig):
        return float(cfg.gamma ** sum(progress >= milestone for milestone in cfg.milestones))
    if progress < cfg.warmup:
        return (progress + 1e-3) / (cfg.warmup + 1e-3)
    return 0.5 * (1.0 + math.cos(math.pi * (progress - cfg.warmup) / max(1.0 - cfg.warmup, 1e-9)))
