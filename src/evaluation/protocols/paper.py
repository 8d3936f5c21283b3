"""Tables of ``protocol=paper``: what the original implementation would have printed, and that it is not valid."""

import logging

import numpy as np
from scipy.stats import ttest_rel

from src.evaluation.inputs.aligned import PairedFold, StudyRuns, pair_folds
from src.evaluation.inputs.runs_table import common_pairs
from src.evaluation.report.page import Evaluated
from src.evaluation.statistics.weighted_ap import PresortedScores
from src.evaluation.tables.format import Column, Row, dataset_title, number, p_value, save_tables

_log = logging.getLogger(__name__)

PAPER_NOTE = "as the original did, not valid inference"
_FRACTION = 0.9  # size of a resample as a share of the items

_COLUMNS = [
    Column("method", lambda row: str(row["method"]), numeric=False),
    Column("mAP ± error", lambda row: f"{number(row['mAP'])} ± {number(row['mAP_error'])}"),
    Column("baseline ± error", lambda row: f"{number(row['baseline_mAP'])} ± {number(row['baseline_error'])}"),
    Column("%", lambda row: number(row["difference_percent"], digits=1, signed=True)),
    Column("p", lambda row: p_value(row["p_t_test"])),
]


def evaluate_as_paper(study: StudyRuns) -> Evaluated:
    """Compare each method with the baseline on the first fold and seed both have, as the paper had one split."""
    settings, pages = [], []
    for setting, (reference, *others) in study.grouped.items():
        rows: list[Row] = []
        for row in others if reference.method == study.cfg.baseline else []:
            pairs, _ = common_pairs(row, reference, setting)
            if pairs:
                (fold,) = pair_folds(reference, row, pairs[:1], study.predictions)
                compared = compare_as_paper(fold, np.random.default_rng((study.cfg.seed, 2)))
                place = {"fold": pairs[0][0], "seed": pairs[0][1]}
                rows.append({"method": row.name, **compared, **place, "note": PAPER_NOTE})
        if not rows:
            _log.warning("%s: no method shares a fold and seed with %s; no table.", setting.title, study.cfg.baseline)
            continue
        caption = f"{dataset_title(study.dataset_dir)}: {setting.title} ({PAPER_NOTE})"
        notes = [
            f"{PAPER_NOTE[0].upper()}{PAPER_NOTE[1:]}: 50 resamples of 0.9 n drawn separately for each method, t-test "
            "over resamples, standard error over resamples. Use protocol=valid for conclusions.",
            "One run of each method: the first fold and seed that both have.",
        ]
        pages.append(save_tables(study.folder / f"paper_{setting.slug}", caption, notes, rows, [_COLUMNS]))
        settings.append({**setting._asdict(), "note": PAPER_NOTE, "methods": rows})
    return Evaluated({"settings": settings}, "\n".join(pages))


def compare_as_paper(fold: PairedFold, rng: np.random.Generator, n_resamples: int = 50) -> dict[str, float]:
    """Compare two runs, the first seed's, by a t-test over bootstrap resamples that each method draws for itself.

    Separate draws are not paired, and each resample counts as a new observation although all come from one test set,
    so the test rejects true null hypotheses far more often than its level. The errors are standard errors over
    resamples: they shrink as resamples are added, whatever the data.

    Source: section 4.1 of the paper and its published code.
    """
    baseline, candidate = (
        _resample(fold.targets, scores[0], rng, n_resamples) for scores in (fold.scores_baseline, fold.scores_candidate)
    )
    if np.ptp(candidate - baseline) <= 1e-15:  # the t-test divides by this spread
        p = 1.0 if abs(candidate[0] - baseline[0]) <= 1e-15 else 0.0
    else:
        p = float(ttest_rel(candidate, baseline).pvalue)
    return {
        "mAP": float(candidate.mean()),
        "mAP_error": float(candidate.std(ddof=1) / np.sqrt(n_resamples)),
        "baseline_mAP": float(baseline.mean()),
        "baseline_error": float(baseline.std(ddof=1) / np.sqrt(n_resamples)),
        "difference_percent": float(100 * (candidate.mean() / baseline.mean() - 1)),
        "p_t_test": p,
    }


def _resample(targets: np.ndarray, scores: np.ndarray, rng: np.random.Generator, n_resamples: int) -> np.ndarray:
    n_items = len(targets)
    drawn = rng.integers(n_items, size=(n_resamples, max(1, round(_FRACTION * n_items))))
    counts = np.apply_along_axis(np.bincount, 1, drawn, minlength=n_items)
    values = PresortedScores(targets, scores).mean_average_precision(counts)
    if not np.isfinite(values).all():
        raise ValueError(
            f"Expected positive labels in each of {n_resamples} resamples, but got one without any of "
            f"{int(targets.sum())} positives; protocol=paper needs a larger test set, use protocol=valid."
        )
    return values
