"""Planted label errors found by image, interactions, both, and cleanlab's multi-label ranking of the image's scores.

Needs a prepared dataset with CF vectors of fold 0, and cleanlab:
    python -m benchmarks.label_issues dataset=emoji
"""

import sys
from dataclasses import replace

import numpy as np
from cleanlab.multilabel_classification import get_label_quality_scores
from scipy.stats import t as student_t

from src.classifiers.label_issues.scores import found
from src.classifiers.label_issues.stage import judge_labels, measure
from src.classifiers.runs import load_fold
from src.classifiers.settings import resolve
from src.config.stages import ClassifierTrainingConfig
from src.data.folds import FoldData
from src.entry import compose_config

RATES, SEEDS = (0.02, 0.05, 0.1), range(1, 6)
SOURCES = ("image", "cf", "both", "cleanlab")


def interval(values: list[float]) -> str:
    """Mean and 95 % interval by t."""
    half = student_t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):.3f} [{np.mean(values) - half:.3f}, {np.mean(values) + half:.3f}]"


def trial(cfg: ClassifierTrainingConfig, fold: FoldData, rate: float, seed: int) -> dict[str, float]:
    """AUROC and precision of each ranking for one draw of exchanged label sets."""
    judged = judge_labels(replace(cfg, seed=seed, method=replace(cfg.method, planted_errors=rate)), fold)
    labels = [np.flatnonzero(row).tolist() for row in judged.given]
    quality = get_label_quality_scores(labels, judged.probs["image"].astype(np.float64))
    auroc, precision = found(-quality, judged.wrong)
    return {**measure(judged), "auroc_cleanlab": auroc, "precision_cleanlab": precision}


def table(rate: float, trials: list[dict[str, float]]) -> str:
    """A row for each ranking, with its difference to that of both sources, paired by draw."""
    rows = []
    for source in SOURCES:
        cells = []
        for name in ("auroc", "precision"):
            own, both = ([found[f"{name}_{of}"] for found in trials] for of in (source, "both"))
            cells += [interval(own), "" if source == "both" else interval(list(np.subtract(both, own)))]
        rows.append(f"| {rate:.0%} | {source} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    """Print the table of each share of exchanged label sets."""
    cfg = resolve(compose_config("train_classifier", ["method=label_issues", *sys.argv[1:]]))
    fold = load_fold(cfg)
    print("| exchanged | ranking | AUROC | both minus it | precision at n | both minus it |\n|---|---|---|---|---|---|")
    for rate in RATES:
        print(table(rate, [trial(cfg, fold, rate, seed) for seed in SEEDS]), flush=True)


if __name__ == "__main__":
    main()
