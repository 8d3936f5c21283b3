"""Training steps of EfficientNet-Lite0, 224 px, batch 32, random images: freed memory given back, and kept."""

import torch

from benchmarks.measure import compare, timed
from src.classifiers.models.heads import Heads
from src.classifiers.models.network import ImageFeatures, MultitaskNetwork
from src.entry import compose_config
from src.machine import keep_freed_memory

BATCH, SIZE, STEPS = 32, 224, 4


def returned() -> tuple[float, float]:
    """As PyTorch does it: freed memory goes back to the kernel."""
    features = ImageFeatures(compose_config("train_classifier", ["dataset=emoji"]).backbone, SIZE)
    network = MultitaskNetwork(features, Heads(features.n_features, 65))
    network.train().to(memory_format=torch.channels_last)
    images, targets = torch.rand(BATCH, 3, SIZE, SIZE), torch.rand(BATCH, 65)
    images = images.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        network.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(network(images)[0], targets).backward()

    step()
    return STEPS * BATCH, timed(lambda: [step() for _ in range(STEPS)])


def kept() -> tuple[float, float]:
    """As this project does it."""
    keep_freed_memory()
    return returned()


if __name__ == "__main__":
    compare("freed_memory", "images", {"PyTorch": returned, "freed memory kept": kept}, target=1.0)
