"""Trains one method as the command does, with batch norm frozen, and rank 0 keeps the first step's gradients.

python tests/classifiers/ddp_worker.py GRADIENTS.npz OVERRIDE...; Lightning starts it again for each further process.
"""

import sys
from pathlib import Path

import lightning
import numpy as np
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2]))

from src.classifiers.train import train_classifier
from src.entry import compose_config


class FrozenBatchNorm(lightning.Callback):
    """Batch statistics of one process's share are not the batch's: all batch norms use their running ones."""

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        for layer in module.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.eval()


class KeepGradients(lightning.Callback):
    """Writes the gradients of the first step, as the optimizer gets them."""

    def __init__(self, path):
        self._path = path

    def on_before_optimizer_step(self, trainer, module, optimizer):
        if trainer.global_step == 0 and trainer.is_global_zero:
            gradients = {name: p.grad.numpy() for name, p in module.named_parameters() if p.grad is not None}
            np.savez(self._path, **gradients)


if __name__ == "__main__":
    path, *overrides = sys.argv[1:]
    train_classifier(compose_config("train_classifier", overrides), [FrozenBatchNorm(), KeepGradients(path)])
