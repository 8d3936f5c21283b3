"""Regression: how well numbers are predicted, and which method does it better."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import r2_score, root_mean_squared_error

from src.evaluation.inputs.aligned import AlignedPredictions
from src.evaluation.inputs.runs_table import MethodRuns
from src.evaluation.protocols.common import Evaluated, StudyRuns
from src.evaluation.tables.cf_models import Values, save_models


def coefficient_of_determination(targets: np.ndarray, values: np.ndarray) -> np.ndarray:
    """R^2 of each target, [N], of targets and predicted values [n, N]."""
    return r2_score(targets, values, multioutput="raw_values")


def rank_correlation(targets: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each target, [N]; 0 where a column is constant."""
    pairs = zip(targets.T, values.T, strict=True)
    return np.array([np.nan_to_num(spearmanr(truth, value).statistic) for truth, value in pairs])


def error(targets: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Root of the mean squared error of each target, [N], in its unit."""
    return root_mean_squared_error(targets, values, multioutput="raw_values")


MEASURES = {"R2": coefficient_of_determination, "Spearman": rank_correlation, "RMSE": error}


def evaluate_numbers(study: StudyRuns) -> Evaluated:
    """Write one table for each setting and measure, ``regression_<setting>_r2`` and so on."""
    settings, texts = [], []
    note = "Mean over targets, seeds, then folds; interval by t with the variance corrected for overlapping training."
    for setting, methods in study.grouped.items():
        rows = {}
        for measure, values in _measure(methods, study.predictions).items():
            stem = study.folder / f"regression_{setting.slug}_{measure.lower()}"
            caption = f"{study.dataset_dir.name}: {setting.title}, {measure}"
            rows[measure], text = save_models(stem, caption, measure, values, study.cfg.baseline, note)
            texts.append(text)
        settings.append({**setting._asdict(), "measures": rows})
    return Evaluated({"baseline": study.cfg.baseline, "settings": settings}, "\n".join(texts))


def _measure(methods: Sequence[MethodRuns], predictions: AlignedPredictions) -> Mapping[str, Mapping[str, Values]]:
    """The mean over targets of each measure, method, fold and seed."""
    values: dict[str, dict[str, dict[int, list[float]]]] = {
        measure: {method.name: defaultdict(list) for method in methods} for measure in MEASURES
    }
    for method in methods:
        for (fold, _), record in sorted(method.runs.items()):
            scores = predictions.load_scores(record)
            for measure, compute in MEASURES.items():
                mean = float(compute(predictions.test_sets[fold].targets, scores).mean())
                values[measure][method.name][fold].append(mean)
    return values
