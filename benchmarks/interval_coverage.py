"""How often 95 % intervals of a difference hold the true one where classes are rare: the numbers in docs/method.md.

Test sets are drawn like those of data/emoji (65 classes, a third of them with at most two positives): images of a fold
with the scores that two methods gave them in results/emoji, and noise, so that no drawn image repeats another. Minutes.
"""

from pathlib import Path

import numpy as np
from scipy.stats import norm, rankdata

from benchmarks.measure import save
from src.evaluation.inputs.aligned import AlignedPredictions
from src.evaluation.inputs.runs_table import RunRecord
from src.evaluation.statistics.bootstrap import estimate, resample_map
from src.evaluation.statistics.metrics import mean_average_precision
from src.files import load_yaml

EMOJI = Path("results/emoji")
CASES = (("cf_distill", 0.2, 1), ("cf_distill", 0.2, 5), ("mtl_loss", 1.0, 5))  # method, label ratio, folds
N_TEST_SETS, N_RESAMPLES, N_TRUTH = 400, 400, 400
SHARED_NOISE, OWN_NOISE = 0.3, 0.2  # of scores that are standard normal in each class

Population = tuple[np.ndarray, np.ndarray, np.ndarray]


def load_population(method: str, ratio: float, fold: int, predictions: AlignedPredictions) -> Population:
    """Targets of a fold's test images, and the scores of image_only and ``method`` as normal quantiles."""
    records = [RunRecord(**entry) for entry in load_yaml(EMOJI / "results.yaml")["runs"]]
    scores = []
    for name in ("image_only", method):
        wanted = (name, ratio, fold, "main")
        run = next(r for r in records if (r.method, r.label_ratio, r.fold, r.study) == wanted)
        ranks = rankdata(predictions.load_scores(run), axis=0)
        scores.append(norm.ppf((ranks - 0.5) / len(ranks)))
    return predictions.test_sets[fold].targets, scores[0], scores[1]


def draw(population: Population, rng: np.random.Generator) -> Population:
    """A test set of the population's size."""
    targets, *scores = population
    rows = rng.integers(len(targets), size=len(targets))
    shared = SHARED_NOISE * rng.normal(size=targets.shape)
    old, new = (s[rows] + shared + OWN_NOISE * rng.normal(size=s.shape) for s in scores)
    return targets[rows], old, new


def difference(test_sets: list[Population], seed: int) -> np.ndarray:
    """The second method's mAP minus the first's, over folds."""
    parts = []
    for fold, (targets, old, new) in enumerate(test_sets):
        names = np.arange(len(targets))
        first, second = (resample_map(targets, s, names, N_RESAMPLES, (seed, fold)) for s in (old, new))
        parts.append(second - first)
    return np.mean(parts, axis=0)


def intervals(resampled: np.ndarray) -> dict[str, tuple[float, float]]:
    """Ours, the plain percentile interval, and the bias-corrected one (BCa without its acceleration, here near 0)."""
    ours, observed, replicates = estimate(resampled), resampled[0], resampled[1:]
    z0 = norm.ppf(np.mean(replicates < observed))
    corrected = np.quantile(replicates, norm.cdf(2 * z0 + norm.ppf([0.025, 0.975])))
    percentile = np.quantile(replicates, [0.025, 0.975])
    return {"centred": (ours.low, ours.high), "percentile": tuple(percentile), "bias_corrected": tuple(corrected)}


def main() -> None:
    """Simulate, and write JSON."""
    rows, predictions = [], AlignedPredictions(EMOJI)
    for method, ratio, n_folds in CASES:
        populations = [load_population(method, ratio, fold, predictions) for fold in range(n_folds)]
        rng = np.random.default_rng(0)
        truth = np.mean([
            mean_average_precision(targets, new) - mean_average_precision(targets, old)
            for targets, old, new in (draw(p, rng) for _ in range(N_TRUTH) for p in populations)
        ])  # fmt: skip
        drawn = [difference([draw(p, rng) for p in populations], seed) for seed in range(N_TEST_SETS)]
        held = [{name: low <= truth <= high for name, (low, high) in intervals(d).items()} for d in drawn]
        rows.append({
            "contrast": f"{method}, label ratio {ratio:g}, {n_folds} folds",
            "true_difference": float(truth),
            "mean_estimate": float(np.mean([d[0] for d in drawn])),
            "mean_of_replicates": float(np.mean([d[1:].mean() for d in drawn])),
            **{f"{name}_covers": float(np.mean([one[name] for one in held])) for name in held[0]},
        })  # fmt: skip
        print(rows[-1], flush=True)
    save("interval_coverage", {"test_sets": N_TEST_SETS, "rows": rows})


if __name__ == "__main__":
    main()
