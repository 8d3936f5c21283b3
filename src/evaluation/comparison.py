"""All methods of one setting, measured and compared with the baseline."""

import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from src.data.folds import N_PARTS, PARTS_PER_SPLIT
from src.evaluation import metrics
from src.evaluation.aligned import AlignedPredictions
from src.evaluation.bootstrap import (
    Estimate,
    Resampled,
    estimate,
    mean_of,
    resample_map,
)
from src.evaluation.paired_fold import PairedFold
from src.evaluation.runs_table import MethodRuns, RunRecord, Setting, common_pairs
from src.evaluation.significance import TTest, corrected_t_test, holm, is_significant, paired_randomization_test

_log = logging.getLogger(__name__)
_RECALL_AT = (1, 5)
_TEST_TRAIN_RATIO = PARTS_PER_SPLIT / (N_PARTS - 2 * PARTS_PER_SPLIT)  # of a fold's parts


@dataclass(frozen=True)
class Resampling:
    """How much to resample, and from which seed."""

    n_resamples: int
    n_permutations: int
    confidence_level: float
    seed: int


@dataclass(frozen=True)
class Contrast:
    """A method's difference to the baseline on the (fold, seed) pairs both have, and the baseline's mAP on them."""

    difference: Estimate
    baseline: float
    p_randomization: float
    t_test: TTest | None
    n_pairs: int
    n_unpaired: int
    p_randomization_holm: float | None = None
    p_t_test_holm: float | None = None
    significant: str = "no"

    @property
    def relative(self) -> float:
        """The difference as a share of the baseline's mAP."""
        return self.difference.value / self.baseline


@dataclass(frozen=True)
class MethodResult:
    """One row of a table: a method's mAP, its contrast with the baseline, and what else was measured.

    Attributes:
        secondary: Micro AP, recall at k and, where each item has one label, top-1 accuracy.
        per_class: (n_classes,) AP, mean over the runs in which the class has a positive; NaN if in none.
        labels: Names of the classes.
        n_classes_excluded: Classes without a positive, in the fold that has most of them.
        contrast: None for the baseline, and where no (fold, seed) pair is shared with it.
    """

    name: str
    method: str
    mean_average_precision: Estimate
    secondary: dict[str, float]
    per_class: np.ndarray
    labels: np.ndarray
    n_folds: int
    n_seeds: int
    n_classes_excluded: int
    contrast: Contrast | None = None


@dataclass(frozen=True)
class _MeasuredRun:
    resampled: Resampled
    per_class: np.ndarray
    secondary: dict[str, float]


def compare_methods(
    setting: Setting, rows: Sequence[MethodRuns], baseline: str, predictions: AlignedPredictions, how: Resampling
) -> list[MethodResult]:
    """Measure every row of a setting and compare it with the baseline row.

    Args:
        setting: What the rows share; named in warnings.
        rows: The table's rows, the baseline first if there is one.
        baseline: Method that the others are compared with.
        predictions: Where runs are read from.
        how: Amount and seed of resampling; a fold's draws depend on the seed and the fold alone: all runs share them.

    Returns:
        One result for each row, p-values adjusted over all contrasts among them.
    """
    measured = _measure_runs([record for row in rows for record in row.runs.values()], predictions, how)
    reference = next((row for row in rows if row.method == baseline), None)
    if reference is None:
        _log.warning("%s: no run of the baseline %s, so no differences; train and predict it.", setting.title, baseline)
    results = []
    for row in tqdm(rows, desc=f"compare, {setting.title}", disable=None):
        result = _summarise(row, measured, predictions, how)
        if reference is not None and row is not reference:
            pairs, n_unpaired = common_pairs(row, reference, setting)
            if pairs:
                contrast = _contrast(row, reference, pairs, n_unpaired, measured, predictions, how)
                result = replace(result, contrast=contrast)
        results.append(result)
    return _adjust(results)


def _measure_runs(
    records: Sequence[RunRecord], predictions: AlignedPredictions, how: Resampling
) -> dict[str, _MeasuredRun]:
    """Measure runs in parallel (the kernel releases the interpreter lock); results do not depend on the order."""

    def measure(record: RunRecord) -> _MeasuredRun:
        scores = predictions.load_scores(record)
        test_set = predictions.test_sets[record.fold]
        targets, n_classes = test_set.targets, len(test_set.labels)
        secondary = {"micro_average_precision": metrics.micro_average_precision(targets, scores)}
        for k in _RECALL_AT:
            if k < n_classes:
                secondary[f"recall_at_{k}"] = metrics.recall_at_k(targets, scores, k)
        if metrics.is_single_label(targets):
            secondary["top1_accuracy"] = metrics.top1_accuracy(targets, scores)
        resampled = resample_map(targets, scores, test_set.image_group, how.n_resamples, (how.seed, record.fold))
        return _MeasuredRun(resampled, metrics.average_precision(targets, scores), secondary)

    first_of_fold = {record.fold: record for record in reversed(records)}
    for record in first_of_fold.values():
        predictions.load_scores(record)  # which run defines a fold's test set must not depend on threads
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = tqdm(pool.map(measure, records), total=len(records), desc="resample runs", disable=None)
        return {record.run: result for record, result in zip(records, results, strict=True)}


def _summarise(
    row: MethodRuns, measured: dict[str, _MeasuredRun], predictions: AlignedPredictions, how: Resampling
) -> MethodResult:
    folds = _by_fold(row.runs)
    runs = {fold: [measured[row.runs[fold, seed].run] for seed in seeds] for fold, seeds in folds.items()}
    resampled = mean_of([mean_of([run.resampled for run in same_fold]) for same_fold in runs.values()])
    names = [
        name
        for name in next(iter(runs.values()))[0].secondary
        if all(name in r.secondary for s in runs.values() for r in s)
    ]
    secondary = {
        name: float(np.mean([np.mean([run.secondary[name] for run in same_fold]) for same_fold in runs.values()]))
        for name in names
    }
    per_class = np.stack([run.per_class for same_fold in runs.values() for run in same_fold])
    defined = np.isfinite(per_class)
    mean_per_class = np.where(
        defined.any(axis=0), np.where(defined, per_class, 0).sum(axis=0) / np.maximum(defined.sum(axis=0), 1), np.nan
    )
    return MethodResult(
        name=row.name,
        method=row.method,
        mean_average_precision=estimate(resampled, how.confidence_level, lowest=0.0),
        secondary=secondary,
        per_class=mean_per_class,
        labels=predictions.test_sets[next(iter(folds))].labels,
        n_folds=len(folds),
        n_seeds=len({seed for _, seed in row.runs}),
        n_classes_excluded=int((~defined).sum(axis=1).max()),
    )


def _contrast(
    row: MethodRuns,
    reference: MethodRuns,
    pairs: Sequence[tuple[int, int]],
    n_unpaired: int,
    measured: dict[str, _MeasuredRun],
    predictions: AlignedPredictions,
    how: Resampling,
) -> Contrast:
    differences, baselines, observed, paired_folds = [], [], [], []
    for fold, seeds in _by_fold(pairs).items():
        records = [[runs[fold, seed] for seed in seeds] for runs in (reference.runs, row.runs)]
        old, new = (mean_of([measured[record.run].resampled for record in side]) for side in records)
        differences.append(new.minus(old))
        baselines.append(old.observed)
        values = [[measured[record.run].resampled.observed for record in side] for side in records]
        observed.append([b - a for a, b in zip(*values, strict=True)])
        scores = [[predictions.load_scores(record) for record in side] for side in records]
        test_set = predictions.test_sets[fold]
        paired_folds.append(PairedFold(test_set.targets, test_set.image_group, scores[0], scores[1]))
    difference = estimate(mean_of(differences), how.confidence_level)
    test = paired_randomization_test(
        paired_folds, rng=np.random.default_rng((how.seed, 0, 1)), n_permutations=how.n_permutations
    )
    return Contrast(
        difference=difference,
        baseline=float(np.mean(baselines)),
        p_randomization=test.p_value,
        t_test=corrected_t_test(observed, _TEST_TRAIN_RATIO),
        n_pairs=len(pairs),
        n_unpaired=n_unpaired,
    )


def _adjust(results: list[MethodResult]) -> list[MethodResult]:
    """Adjust the p-values of a table's contrasts for their number and say which are significant."""
    contrasts = [result.contrast for result in results]
    p_randomization = holm([c.p_randomization if c else None for c in contrasts])
    p_t_test = holm([c.t_test.p_value if c and c.t_test else None for c in contrasts])
    adjusted = []
    for result, p_r, p_t in zip(results, p_randomization, p_t_test, strict=True):
        if result.contrast is not None:
            verdict = "one run" if p_t is None else "yes" if is_significant(p_r, p_t) else "no"
            contrast = replace(result.contrast, p_randomization_holm=p_r, p_t_test_holm=p_t, significant=verdict)
            result = replace(result, contrast=contrast)
        adjusted.append(result)
    return adjusted


def _by_fold(pairs: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    folds: dict[int, list[int]] = defaultdict(list)
    for fold, seed in sorted(pairs):
        folds[fold].append(seed)
    return dict(folds)
