"""Predictions with a known difference between methods, and output folders as the predict stage leaves them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.artifacts import Predictions
from src.evaluation.inputs.aligned import PairedFold
from src.files import save_yaml


def simulate_fold(
    rng: np.random.Generator,
    effect: float = 0.5,
    n_items: int = 100,
    n_seeds: int = 1,
    prevalence: Sequence[float] | np.ndarray = (0.12,) * 6,
) -> PairedFold:
    """Scores of two methods with shared and own noise; with ``effect=0`` both have the same distribution."""
    targets = (rng.random((n_items, len(prevalence))) < prevalence).astype(np.uint8)
    targets[0, ~targets.any(axis=0)] = 1
    shared = rng.normal(size=targets.shape)

    def draw(signal: float) -> list[np.ndarray]:
        return [(signal * targets + shared + rng.normal(size=targets.shape)).astype(np.float32) for _ in range(n_seeds)]

    group = np.array([f"group{i // 2:03d}" if i < 20 else f"single{i:03d}" for i in range(n_items)])
    return PairedFold(targets, group, draw(1.0), draw(1.0 + effect))


def write_outputs(
    dataset_dir: Path,
    effects: dict[str, float],
    ratios: Sequence[float] = (1.0,),
    folds: Sequence[int] = (0, 1),
    seeds: Sequence[int] = (0, 1),
    single_label: bool = False,
) -> list[dict[str, Any]]:
    """Write runs of several methods, each with its items in an order of its own; returns the content of ``runs``."""
    runs = []
    for fold in folds:
        rng = np.random.default_rng(fold)
        targets = np.eye(6, dtype=np.uint8)[rng.integers(6, size=60)] if single_label else rng.random((60, 6)) < 0.2
        targets = targets.astype(np.uint8)
        item_id = np.array([f"item{fold}_{i}" for i in range(60)])
        shared = rng.normal(size=targets.shape)
        for place, (method, effect) in enumerate(effects.items()):
            for ratio in ratios:
                for seed in seeds:
                    own = np.random.default_rng([fold, seed, place, int(10 * ratio)])
                    noise = own.normal(size=targets.shape)
                    scores = ((ratio + effect) * targets + shared + 0.5 * noise).astype(np.float32)
                    rows = own.permutation(60)
                    run = f"classifier/{method}/ratio{ratio}_fold{fold}_seed{seed}"
                    predictions = Predictions(
                        item_id=item_id[rows],
                        labels=np.array([f"label_{i}" for i in range(6)]),
                        scores=scores[rows],
                        targets=targets[rows],
                        image_group=item_id[rows],
                    )
                    (dataset_dir / run).mkdir(parents=True)
                    predictions.save(dataset_dir / run / "predictions.npz")
                    curve = "".join(f"{e},{0.1 + 0.05 * e},{1 / (1 + e)}\n" for e in range(4))
                    (dataset_dir / run / "metrics.csv").write_text("epoch,val/mAP,val/loss\n" + curve)
                    runs.append(describe_run(run, method, ratio, fold, seed))
    save_yaml(dataset_dir / "results.yaml", {"runs": runs})
    return runs


def describe_run(
    run: str, method: str, ratio: float = 1.0, fold: int = 0, seed: int = 0, **more: Any
) -> dict[str, Any]:
    """One entry of ``results.yaml``."""
    entry = {
        "run": run,
        "task": "classification",
        "method": method,
        "backbone": "net_a",
        "image_size": 64,
        "label_ratio": ratio,
        "alpha": None,
    }
    entry |= {"distill_lambda": None, "recommender": None, "fold": fold, "seed": seed, "study": "main"}
    return entry | more
