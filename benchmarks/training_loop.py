"""The training loop against its limit: the same network's bare step on one fixed batch, on all cores.

Run as ``python benchmarks/training_loop.py`` for emoji (64 px, EfficientNet-Lite0); PREPARED, BACKBONE and SIZE choose
another prepared dataset, backbone and image size. The loop is the one that trains: reading the store, crops, colour
changes, losses, optimizer, curves. Both sides run in one process, in turn, so that they meet the same machine.
"""

import os
import statistics
import time
from pathlib import Path
from typing import Any

import lightning
import torch

from benchmarks.measure import save, timed
from src.classifiers.losses import classification_loss
from src.classifiers.models.heads import Heads
from src.classifiers.models.network import ImageFeatures, MultitaskNetwork
from src.classifiers.settings import resolve
from src.classifiers.targets.batches import RandomCrops, TrainingBatches
from src.classifiers.targets.inputs import build_inputs
from src.classifiers.task import TASKS
from src.classifiers.training import loop as fine_tuning
from src.classifiers.training.module import MultitaskModule
from src.classifiers.training.schedule import build_optimizer
from src.data.folds import open_fold
from src.data.images.store import ImageStore
from src.entry import compose_config
from src.machine import keep_freed_memory

PREPARED = Path(os.environ.get("PREPARED", "outputs/emoji/prepared"))
BACKBONE, SIZE = os.environ.get("BACKBONE", "efficientnet_lite0"), int(os.environ.get("SIZE", "64"))
PAIRS, STEPS = int(os.environ.get("PAIRS", "5")), int(os.environ.get("STEPS", "20"))


class StepTimes(lightning.Callback):
    """When each training batch ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        """Remember the time."""
        self.ends.append(time.perf_counter())


def compose() -> Any:
    """The classifier's config for this benchmark."""
    overrides = [f"backbone={BACKBONE}", f"image_size={SIZE}", "trainer.progress_bar=false", "trainer.accelerator=cpu"]
    if not BACKBONE.startswith("efficientnet"):
        overrides.append("backbone.weights=null")  # the time does not depend on the weights
    return resolve(compose_config("train_classifier", overrides))


def bare_seconds(network: MultitaskNetwork, batch: dict[str, Any], weight: torch.Tensor, cfg: Any) -> float:
    """Seconds for ``STEPS`` steps on one batch that is already where and how the network wants it."""
    optimizer, _ = build_optimizer(network.parameters(), cfg.optimizer, cfg.lr, 1000)
    images = (batch["inputs"].float() / 255).contiguous(memory_format=torch.channels_last)
    network.train()
    start = time.perf_counter()
    for _ in range(STEPS):
        logits, _ = network(images)
        classification_loss(logits, batch["targets"], weight).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return time.perf_counter() - start


def part_milliseconds(
    module: MultitaskModule, batches: TrainingBatches, batch: dict[str, Any], cfg: Any
) -> dict[str, float]:
    """Median milliseconds a step of each part, measured alone; what the loop takes beyond their sum is its own."""
    network, weight = module.network, module.positive_weight
    optimizer, _ = build_optimizer(network.parameters(), cfg.optimizer, cfg.lr, 1000)
    images = module._network_inputs(batch, 0)
    losses = []

    def forward() -> None:
        losses.append(classification_loss(network(images)[0], batch["targets"], weight).mean())

    parts = {
        "store read, crops, resizing, collating": lambda: batches[len(losses)],
        "colours, memory layout": lambda: module._network_inputs(batch, 0),
        "network, forward": forward,
        "network, backward": lambda: losses[-1].backward(),
        "optimizer": optimizer.step,
        "gradients to none": optimizer.zero_grad,
    }
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(STEPS):
        for name, work in parts.items():
            seconds[name].append(timed(work))
    return {name: 1000 * statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    """Alternate bare steps with stretches of the loop and print the loop's share of the limit."""
    keep_freed_memory()  # as training does, for the bare steps too
    cfg = compose()
    fold = open_fold(PREPARED, 0)
    store = ImageStore.open(fold.images_dir)
    inputs = build_inputs(cfg, fold, store)
    features = ImageFeatures(cfg.backbone, cfg.image_size)
    network = MultitaskNetwork(features, Heads(features.n_features, len(fold.label_names)))
    network = network.to(memory_format=torch.channels_last)
    crops = RandomCrops(store, cfg.augmentation, cfg.image_size)
    batch = TrainingBatches(cfg, inputs, crops, 0, 1)[0]
    bare_seconds(network, batch, inputs.positive_weight, cfg)
    shares, rates = [], []
    for _ in range(PAIRS):
        before = bare_seconds(network, batch, inputs.positive_weight, cfg)
        times = StepTimes()
        module = MultitaskModule(cfg, network, inputs, TASKS[fold.task], steps_per_epoch=STEPS + 3, definition_hash="")
        trainer = lightning.Trainer(
            accelerator="cpu", max_epochs=1, limit_train_batches=STEPS + 3, limit_val_batches=0, callbacks=[times],
            logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            use_distributed_sampler=False, deterministic="warn",
        )  # fmt: skip
        batches = TrainingBatches(cfg, inputs, crops, 0, 1)
        sampler = fine_tuning.StepSampler(STEPS + 3, lambda: 0)
        trainer.fit(module, fine_tuning.batch_loader(batches, sampler=sampler))
        loop = times.ends[-1] - times.ends[2]  # STEPS steps, after the first three
        after = bare_seconds(network, batch, inputs.positive_weight, cfg)
        shares.append((before + after) / 2 / loop)
        rates.append(STEPS * cfg.batch_size / loop)
    name = f"training_loop_{PREPARED.parent.name}_{BACKBONE}_{SIZE}"
    share = statistics.median(shares)
    print(
        f"{name}: {share:.3f} of the bare step's speed ({min(shares):.3f} to {max(shares):.3f}), "
        f"{statistics.median(rates):.1f} images a second"
    )
    parts = part_milliseconds(module, batches, batch, cfg)
    parts["a whole step in the loop"] = 1000 * cfg.batch_size / statistics.median(rates)
    print({part: round(value, 2) for part, value in parts.items()})
    result = {"share": share, "low": min(shares), "high": max(shares), "images_a_second": statistics.median(rates)}
    save(name, result | {"milliseconds": parts})


if __name__ == "__main__":
    main()
