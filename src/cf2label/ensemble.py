"""One small classifier for each fold, all trained at once as slices of the same tensors."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from src.config.cf2label import CF2LabelConfig
from src.randomness import ShuffledPasses, derive_seed


def fit_fold_ensemble(
    inputs: torch.Tensor, targets: torch.Tensor, train_rows: list[np.ndarray], cfg: CF2LabelConfig, seed: int
) -> torch.Tensor:
    """Train Linear, ReLU, Dropout, Linear on each set of rows, and predict all items with each model.

    Models are independent: each has its own weights and draws batches from its own rows. Every batch has the same size
    and may continue into the next pass over the rows. Output biases start at the log odds of each label among the
    training rows.

    Args:
        inputs: Standardised vectors, [I, f] float32, in place of the original's batch normalisation.
        targets: Multi-hot labels, [I, N] float32; read at ``train_rows`` only.
        train_rows: Rows that each of the K models may see.
        cfg: Size and training.
        seed: Sole source of randomness.

    Returns:
        Probabilities, [K, I, N] float32.

    Source: section 4.2.
    """
    (n_inputs, n_labels), n_models = (inputs.shape[1], targets.shape[1]), len(train_rows)
    hidden = cfg.hidden_size or (n_inputs + n_labels) // 2
    generator = torch.Generator().manual_seed(derive_seed(seed, "weights"))
    sums = torch.stack([targets[rows].sum(dim=0) for rows in train_rows])
    sizes = torch.tensor([[len(rows)] for rows in train_rows], dtype=torch.float32)
    prevalence = (sums + 0.5) / (sizes + 1)
    positive_weight = (sizes / sums.clamp(min=1))[:, None] if cfg.class_weighting == "balanced" else None
    first = _uniform((n_models, n_inputs, hidden), 1 / math.sqrt(n_inputs), generator)
    first_bias = torch.zeros(n_models, 1, hidden, requires_grad=True)
    last = _uniform((n_models, hidden, n_labels), 1 / math.sqrt(hidden), generator)
    last_bias = prevalence.logit()[:, None].requires_grad_()
    groups: list[dict[str, Any]] = [{"params": [first, last]}, {"params": [first_bias, last_bias], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=cfg.lr, weight_decay=cfg.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / cfg.max_steps)
    batch_size = min(cfg.batch_size, *(len(rows) for rows in train_rows))
    passes = [ShuffledPasses(rows, derive_seed(seed, "batches", model)) for model, rows in enumerate(train_rows)]
    order = np.stack([drawn.take(0, cfg.max_steps * batch_size) for drawn in passes])
    batches = torch.from_numpy(order).view(n_models, cfg.max_steps, batch_size)
    with one_thread():
        for step in range(cfg.max_steps):
            rows = batches[:, step]
            activations = torch.baddbmm(first_bias, inputs[rows], first).relu()
            if cfg.dropout > 0:
                kept = torch.rand(activations.shape, generator=generator) >= cfg.dropout
                activations = activations * kept / (1 - cfg.dropout)
            logits = torch.baddbmm(last_bias, activations, last)
            loss = functional.binary_cross_entropy_with_logits(logits, targets[rows], pos_weight=positive_weight)
            optimizer.zero_grad()
            (n_models * loss).backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            activations = torch.baddbmm(first_bias, inputs.expand(n_models, *inputs.shape), first).relu()
            return torch.baddbmm(last_bias, activations, last).sigmoid()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread: faster for matrices this small, and the result does not depend on the number of cores."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> torch.Tensor:
    return torch.empty(shape).uniform_(-bound, bound, generator=generator).requires_grad_()
