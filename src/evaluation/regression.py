"""Regression: how well numbers are predicted, and which method does it better."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import r2_score, root_mean_squared_error

from src.evaluation.aligned import AlignedPredictions
from src.evaluation.cf_tables import compare_models, model_columns
from src.evaluation.runs_table import MethodRuns
from src.evaluation.tables import Row, save_tables


def coefficient_of_determination(targets: np.ndarray, values: np.ndarray) -> np.ndarray:
    """R^2 of each target, [N], of targets and predicted values [n, N]."""
    result: np.ndarray = r2_score(targets, values, multioutput="raw_values")
    return result


def rank_correlation(targets: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each target, [N]; 0 where a column is constant."""
    pairs = zip(targets.T, values.T, strict=True)
    return np.array([np.nan_to_num(spearmanr(truth, value).statistic) for truth, value in pairs])


def error(targets: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Root of the mean squared error of each target, [N], in its unit."""
    result: np.ndarray = root_mean_squared_error(targets, values, multioutput="raw_values")
    return result


MEASURES = {"R2": coefficient_of_determination, "Spearman": rank_correlation, "RMSE": error}


def compare_regression(
    methods: Sequence[MethodRuns], baseline: str, predictions: AlignedPredictions, stem: Path, caption: str
) -> tuple[dict[str, list[Row]], str]:
    """Write one table a measure, ``<stem>_r2`` and so on: means over targets, then seeds, then folds.

    Args:
        methods: Rows of the tables, with their runs.
        baseline: What differences are to.
        predictions: Where their scores are read.
        stem: Path of the tables without measure and ending.
        caption: What they are about.

    Returns:
        The rows by measure, and the tables as Markdown.
    """
    values: dict[str, dict[str, dict[int, list[float]]]] = {measure: {} for measure in MEASURES}
    for method in methods:
        by_fold: dict[str, dict[int, list[float]]] = {measure: defaultdict(list) for measure in MEASURES}
        for (fold, _), record in sorted(method.runs.items()):
            scores = predictions.load_scores(record)
            for measure, compute in MEASURES.items():
                by_fold[measure][fold].append(float(compute(predictions.test_sets[fold].targets, scores).mean()))
        for measure in MEASURES:
            values[measure][method.name] = by_fold[measure]
    notes = [
        "Mean over targets, seeds, then folds; interval by t with the variance corrected for overlapping training.",
        f"Difference: to {baseline}; p: corrected paired t-test over folds, Holm's correction over the table.",
    ]
    rows: dict[str, list[Row]] = {}
    texts = []
    for measure, by_method in values.items():
        reference = baseline if baseline in by_method else next(iter(by_method))
        rows[measure] = compare_models(by_method, reference, {})
        path = stem.with_name(f"{stem.name}_{measure.lower()}")
        texts.append(
            save_tables(path, f"{caption}, {measure}", notes, rows[measure], [model_columns(measure, rows[measure])])
        )
    return rows, "\n".join(texts)


def evaluate_regression(
    grouped: dict[Any, list[MethodRuns]], baseline: str, predictions: AlignedPredictions, folder: Path, dataset: str
) -> tuple[list[dict[str, Any]], str]:
    """The tables of every setting; returns their numbers and their Markdown."""
    settings, texts = [], []
    for setting, methods in grouped.items():
        stem = folder / f"regression_{setting.slug}"
        rows, text = compare_regression(methods, baseline, predictions, stem, f"{dataset}: {setting.title}")
        settings.append({**setting._asdict(), "measures": rows})
        texts.append(text)
    return settings, "\n".join(texts)
