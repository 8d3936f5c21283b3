"""Regression: how well numbers are predicted, and which method does it better."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.metrics import r2_score, root_mean_squared_error

from src.evaluation.inputs.aligned import AlignedPredictions, StudyRuns
from src.evaluation.inputs.runs_table import MethodRuns
from src.evaluation.report.page import Evaluated
from src.evaluation.tables.cf_models import save_models
from src.evaluation.tables.format import dataset_title

coefficient_of_determination = partial(r2_score, multioutput="raw_values")
"""R^2 of each target, [N], of targets and predicted values [n, N]."""


def rank_correlation(targets: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each target, [N]; 0 where a column is constant."""
    pairs = zip(targets.T, values.T, strict=True)
    return np.array([np.nan_to_num(spearmanr(truth, value).statistic) for truth, value in pairs])


MEASURES: dict[str, Callable[..., np.ndarray]] = {
    "R2": coefficient_of_determination,
    "Spearman": rank_correlation,
    "RMSE": partial(root_mean_squared_error, multioutput="raw_values"),
}


def evaluate_numbers(study: StudyRuns) -> Evaluated:
    """Write one table for each setting and measure, ``regression_<setting>_r2`` and so on."""
    settings, texts = [], []
    note = "Mean over targets, seeds, then folds; interval by t with the variance corrected for overlapping training."
    for setting, methods in study.grouped.items():
        rows, values = {}, _measure(methods, study.predictions)
        for measure in MEASURES:
            stem = study.folder / f"regression_{setting.slug}_{measure.lower()}"
            caption = f"{dataset_title(study.dataset_dir)}: {setting.title}, {measure}"
            own = values.rename(columns={measure: "value"})
            rows[measure], text = save_models(stem, caption, measure, own, study.cfg.baseline, note)
            texts.append(text)
        settings.append({**setting._asdict(), "measures": rows})
    return Evaluated({"baseline": study.cfg.baseline, "settings": settings}, "\n".join(texts))


def _measure(methods: Sequence[MethodRuns], predictions: AlignedPredictions) -> pd.DataFrame:
    """A row for each run: ``model``, ``fold``, and each measure's mean over targets."""
    rows = []
    for method in methods:
        for (fold, _), record in sorted(method.runs.items()):
            scores = predictions.load_scores(record)
            means = {name: of(predictions.test_sets[fold].targets, scores).mean() for name, of in MEASURES.items()}
            rows.append({"model": method.name, "fold": fold, **means})
    return pd.DataFrame(rows)
