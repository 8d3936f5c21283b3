"""All methods of one setting, measured and compared with the baseline."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from src.artifacts import RunRecord
from src.console import progress
from src.data.folds import N_PARTS, PARTS_PER_SPLIT
from src.evaluation.inputs.aligned import StudyRuns, pair_folds, seeds_by_fold
from src.evaluation.inputs.runs_table import MethodRuns, Setting, common_pairs
from src.evaluation.statistics import metrics, significance
from src.evaluation.statistics.bootstrap import Estimate, estimate, resample_map
from src.machine import n_cores

_log = logging.getLogger(__name__)
_TEST_TRAIN_RATIO = PARTS_PER_SPLIT / (N_PARTS - 2 * PARTS_PER_SPLIT)  # of a fold's parts


@dataclass(frozen=True)
class Contrast:
    """A method's difference to the baseline on the (fold, seed) pairs both have, and the baseline's mAP on them."""

    difference: Estimate
    baseline: float
    p_randomization: float
    t_test: significance.TTest | None
    equivalence: significance.Equivalence
    n_pairs: int
    n_unpaired: int
    p_randomization_holm: float | None = None
    p_t_test_holm: float | None = None
    significant: str = "no"


@dataclass(frozen=True)
class MethodResult:
    """One row of a table: a method's mAP, its contrast with the baseline, and what else was measured.

    Attributes:
        secondary: Micro AP, recall at k and, where each item has one label, top-1 accuracy.
        per_class: (n_classes,) AP, mean over the runs in which the class has a positive; NaN if in none.
        labels: Names of the classes.
        n_classes_excluded: Classes without a positive, in the fold that has most of them.
        resampled: (1 + n_resamples,) mAP as observed, then of each bootstrap replicate, mean over runs.
        runs: (fold, seed) of each run.
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
    resampled: np.ndarray
    runs: frozenset[tuple[int, int]]
    contrast: Contrast | None = None


class _MeasuredRun(NamedTuple):
    resampled: np.ndarray
    per_class: np.ndarray
    secondary: dict[str, float]


def compare_methods(study: StudyRuns, setting: Setting) -> list[MethodResult]:
    """Measure every row of a setting's table and compare it with the baseline row.

    A fold's draws depend only on the seed and the fold, so all runs share them. P-values are adjusted over all
    contrasts of the table.
    """
    rows, cfg = study.grouped[setting], study.cfg
    measured = _measure_runs(study, [record for row in rows for record in row.runs.values()])
    reference = rows[0] if rows[0].method == cfg.baseline else None
    if reference is None:
        _log.warning(
            "%s: no run of the baseline %s, so no differences; train and predict it.", setting.title, cfg.baseline
        )
    contrasts = [
        _contrast(study, setting, row, reference, measured) if reference and row is not reference else None
        for row in progress(rows, f"compare, {setting.title}")
    ]
    pairs = zip(rows, _adjust(contrasts), strict=True)
    return [_summarise(study, row, contrast, measured) for row, contrast in pairs]


def _measure_runs(study: StudyRuns, records: Sequence[RunRecord]) -> dict[str, _MeasuredRun]:
    """Measure runs in parallel (the kernel releases the interpreter lock); results do not depend on the order."""

    def measure(record: RunRecord) -> _MeasuredRun:
        scores = study.predictions.load_scores(record)
        test = study.predictions.test_sets[record.fold]
        known = {name: m for name, m in metrics.MEASURES.items() if m.is_defined(test.targets)}
        return _MeasuredRun(
            resample_map(test.targets, scores, test.image_group, study.cfg.n_resamples, (study.cfg.seed, record.fold)),
            metrics.average_precision(test.targets, scores),
            {name: measure.compute(test.targets, scores) for name, measure in known.items()},
        )

    with ThreadPoolExecutor(n_cores()) as pool:
        results = progress(pool.map(measure, records), "resample runs", len(records))
        return {record.run: result for record, result in zip(records, results, strict=True)}


def _summarise(
    study: StudyRuns, row: MethodRuns, contrast: Contrast | None, measured: Mapping[str, _MeasuredRun]
) -> MethodResult:
    folds = seeds_by_fold(row.runs)
    by_fold = [[measured[row.runs[fold, seed].run] for seed in seeds] for fold, seeds in folds.items()]
    resampled = np.mean([np.mean([run.resampled for run in fold], axis=0) for fold in by_fold], axis=0)
    runs = [run for fold in by_fold for run in fold]
    names = [name for name in runs[0].secondary if all(name in run.secondary for run in runs)]
    per_class = np.stack([run.per_class for run in runs])
    n_defined = np.isfinite(per_class).sum(axis=0)
    return MethodResult(
        name=row.name,
        method=row.method,
        mean_average_precision=estimate(resampled, lowest=0.0),
        secondary={
            name: float(np.mean([np.mean([run.secondary[name] for run in fold]) for fold in by_fold])) for name in names
        },
        per_class=np.where(n_defined > 0, np.nansum(per_class, axis=0) / np.maximum(n_defined, 1), np.nan),
        labels=study.predictions.test_sets[next(iter(folds))].labels,
        n_folds=len(folds),
        n_seeds=len({seed for _, seed in row.runs}),
        n_classes_excluded=int(np.isnan(per_class).sum(axis=1).max()),
        resampled=resampled,
        runs=frozenset(row.runs),
        contrast=contrast,
    )


def _contrast(
    study: StudyRuns, setting: Setting, row: MethodRuns, reference: MethodRuns, measured: Mapping[str, _MeasuredRun]
) -> Contrast | None:
    """The difference on the runs that both have; None without such runs."""
    pairs, n_unpaired = common_pairs(row, reference, setting)
    if not pairs:
        return None
    cfg = study.cfg
    differences, baselines, observed = [], [], []
    for fold, seeds in seeds_by_fold(pairs).items():
        old, new = ([measured[side.runs[fold, seed].run].resampled for seed in seeds] for side in (reference, row))
        differences.append(np.mean(new, axis=0) - np.mean(old, axis=0))
        baselines.append(np.mean(old, axis=0)[0])
        observed.append([b[0] - a[0] for a, b in zip(old, new, strict=True)])
    folds, rng = pair_folds(reference, row, pairs, study.predictions), np.random.default_rng((cfg.seed, 0, 1))
    difference, baseline = estimate(np.mean(differences, axis=0)), float(np.mean(baselines))
    t_test = significance.corrected_t_test(observed, _TEST_TRAIN_RATIO)
    return Contrast(
        difference=difference,
        baseline=baseline,
        p_randomization=significance.paired_randomization_test(folds, rng=rng, n_permutations=cfg.n_permutations),
        t_test=t_test,
        equivalence=significance.equivalence(difference, baseline, t_test),
        n_pairs=len(pairs),
        n_unpaired=n_unpaired,
    )


def _adjust(contrasts: Sequence[Contrast | None]) -> list[Contrast | None]:
    """Adjust the p-values of a table's contrasts for their number and say which are significant."""
    p_randomization = significance.holm([c.p_randomization if c else None for c in contrasts])
    p_t_test = significance.holm([c.t_test.p_value if c and c.t_test else None for c in contrasts])
    return [
        c and replace(c, p_randomization_holm=p_r, p_t_test_holm=p_t, significant=significance.verdict(p_r, p_t))
        for c, p_r, p_t in zip(contrasts, p_randomization, p_t_test, strict=True)
    ]
