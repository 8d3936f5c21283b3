"""Tables of ``protocol=paper``: what the original implementation would have printed, and that it is not valid."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from src.config import EvaluateConfig
from src.evaluation.aligned import AlignedPredictions
from src.evaluation.paper_protocol import PAPER_NOTE, compare_as_paper
from src.evaluation.runs_table import MethodRuns, Setting, common_pairs
from src.evaluation.tables import Column, Row, number, p_value, save_tables

_log = logging.getLogger(__name__)

_COLUMNS = [
    Column("method", lambda row: str(row["method"]), numeric=False),
    Column("mAP ± error", lambda row: f"{number(row['mAP'])} ± {number(row['mAP_error'])}"),
    Column("baseline ± error", lambda row: f"{number(row['baseline_mAP'])} ± {number(row['baseline_error'])}"),
    Column("%", lambda row: number(row["difference_percent"], digits=1, signed=True)),
    Column("p", lambda row: p_value(row["p_t_test"])),
]


def save_paper_table(
    grouped: dict[Setting, list[MethodRuns]],
    predictions: AlignedPredictions,
    cfg: EvaluateConfig,
    folder: Path,
    dataset: str,
) -> tuple[list[dict[str, Any]], str]:
    """Compare each method with the baseline on one run, the first fold and seed both have, as the paper had one split.

    Returns:
        The numbers of each setting, and the Markdown of all tables.
    """
    settings, pages = [], []
    for setting, methods in grouped.items():
        reference = next((row for row in methods if row.method == cfg.baseline), None)
        rows: list[Row] = []
        for row in methods:
            if reference is None or row is reference:
                continue
            pairs, _ = common_pairs(row, reference, setting)
            if pairs:
                rows.append(_compare(row, reference, pairs[0], predictions, cfg.seed))
        if not rows:
            _log.warning("%s: no method shares a fold and seed with %s; no table.", setting.title, cfg.baseline)
            continue
        caption = f"{dataset}: {setting.title} ({PAPER_NOTE})"
        notes = [
            f"{PAPER_NOTE[0].upper()}{PAPER_NOTE[1:]}: 50 resamples of 0.9 n drawn separately for each method, t-test "
            "over resamples, standard error over resamples. Use protocol=valid for conclusions.",
            "One run of each method: the first fold and seed that both have.",
        ]
        pages.append(save_tables(folder / f"paper_{setting.slug}", caption, notes, rows, [_COLUMNS]))
        settings.append({**setting._asdict(), "note": PAPER_NOTE, "methods": rows})
    return settings, "\n".join(pages)


def _compare(
    row: MethodRuns, reference: MethodRuns, pair: tuple[int, int], predictions: AlignedPredictions, seed: int
) -> Row:
    baseline, candidate = (predictions.load_scores(runs[pair]) for runs in (reference.runs, row.runs))
    targets = predictions.test_sets[pair[0]].targets
    result = compare_as_paper(targets, baseline, candidate, rng=np.random.default_rng((seed, 2)))
    return {
        "method": row.name,
        "mAP": result.candidate,
        "mAP_error": result.candidate_error,
        "baseline_mAP": result.baseline,
        "baseline_error": result.baseline_error,
        "difference_percent": 100 * (result.candidate / result.baseline - 1),
        "p_t_test": result.p_value,
        "fold": pair[0],
        "seed": pair[1],
        "note": result.note,
    }
