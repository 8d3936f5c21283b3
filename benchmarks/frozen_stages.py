"""Training steps a second with EfficientNet-Lite0's first stages frozen: 64 px, batch 32, random images. A minute."""

import time
from dataclasses import replace
from statistics import median

import torch

from benchmarks.measure import save
from src.classifiers.models.heads import Heads
from src.classifiers.models.network import ImageFeatures, MultitaskNetwork
from src.config.classifiers import BackboneConfig
from src.entry import compose_config

STAGES, BATCH, SIZE, STEPS, ROUNDS = (0, 2, 3, 4, 5), 32, 64, 4, 8


def _network(cfg: BackboneConfig) -> MultitaskNetwork:
    features = ImageFeatures(cfg, SIZE)
    return MultitaskNetwork(features, Heads(features.n_features, 65))


def main() -> None:
    """Measure in turn, and write JSON."""
    cfg = compose_config("train_classifier", ["dataset=emoji"]).backbone
    images, targets = torch.rand(BATCH, 3, SIZE, SIZE), torch.rand(BATCH, 65)
    images = images.contiguous(memory_format=torch.channels_last)
    networks = {n: _network(replace(cfg, frozen_stages=n)).train() for n in STAGES}
    seconds: dict[int, list[float]] = {n: [] for n in STAGES}
    for round_ in range(ROUNDS + 1):
        for n, network in networks.items():
            network.to(memory_format=torch.channels_last)
            start = time.perf_counter()
            for _ in range(STEPS):
                network.zero_grad()
                torch.nn.functional.binary_cross_entropy_with_logits(network(images)[0], targets).backward()
            if round_:  # the first warms up
                seconds[n].append((time.perf_counter() - start) / STEPS)
    rows = []
    for n in STAGES:
        ratios = [whole / own for whole, own in zip(seconds[0], seconds[n], strict=True)]
        learned = sum(p.numel() for p in networks[n].parameters() if p.requires_grad)
        rows.append(
            {"frozen_stages": n, "ratio": median(ratios), "low": min(ratios), "high": max(ratios), "learned": learned}
        )
        print(rows[-1])
    save("frozen_stages", {"batch": BATCH, "image_size": SIZE, "rows": rows})


if __name__ == "__main__":
    main()
