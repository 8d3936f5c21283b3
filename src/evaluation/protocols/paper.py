"""Tables of ``protocol=paper``: what the original implementation would have printed, and that it is not valid."""

import logging
from collections.abc import Sequence

import numpy as np

from src.evaluation.inputs.runs_table import MethodRuns, Setting, common_pairs
from src.evaluation.protocols.common import Evaluated, StudyRuns
from src.evaluation.statistics.paired_fold import pair_folds
from src.evaluation.statistics.paper_protocol import PAPER_NOTE, compare_as_paper
from src.evaluation.tables.format import Column, Row, number, p_value, save_tables

_log = logging.getLogger(__name__)

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
    for setting, methods in study.grouped.items():
        rows = _compare(study, setting, methods)
        if not rows:
            _log.warning("%s: no method shares a fold and seed with %s; no table.", setting.title, study.cfg.baseline)
            continue
        caption = f"{study.dataset_dir.name}: {setting.title} ({PAPER_NOTE})"
        notes = [
            f"{PAPER_NOTE[0].upper()}{PAPER_NOTE[1:]}: 50 resamples of 0.9 n drawn separately for each method, t-test "
            "over resamples, standard error over resamples. Use protocol=valid for conclusions.",
            "One run of each method: the first fold and seed that both have.",
        ]
        pages.append(save_tables(study.folder / f"paper_{setting.slug}", caption, notes, rows, [_COLUMNS]))
        settings.append({**setting._asdict(), "note": PAPER_NOTE, "methods": rows})
    return Evaluated({"settings": settings}, "\n".join(pages))


def _compare(study: StudyRuns, setting: Setting, methods: Sequence[MethodRuns]) -> list[Row]:
    rows: list[Row] = []
    reference, *others = methods
    for row in others if reference.method == study.cfg.baseline else []:
        pairs, _ = common_pairs(row, reference, setting)
        if not pairs:
            continue
        (fold,) = pair_folds(reference, row, pairs[:1], study.predictions)
        scores = fold.scores_baseline[0], fold.scores_candidate[0]
        result = compare_as_paper(fold.targets, *scores, rng=np.random.default_rng((study.cfg.seed, 2)))
        rows.append({
            "method": row.name,
            "mAP": result.candidate,
            "mAP_error": result.candidate_error,
            "baseline_mAP": result.baseline,
            "baseline_error": result.baseline_error,
            "difference_percent": 100 * (result.candidate / result.baseline - 1),
            "p_t_test": result.p_value,
            "fold": pairs[0][0],
            "seed": pairs[0][1],
            "note": result.note,
        })  # fmt: skip
    return rows
