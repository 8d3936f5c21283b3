"""Tables 3 and 4 of the paper: AUC of the CF models, and how much their vectors know of the labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import t as student_t

from src.evaluation.significance import corrected_t_test, holm
from src.evaluation.tables import Column, Row, number, p_value, save_tables, span

HELD_OUT_TO_TRAIN = 0.25
"""Interactions behind an AUC, and items of a fold of CF2Label: a fifth is held out of what the rest is fitted on."""

LEVEL = 0.95
REFERENCE = "bpr"

Values = Mapping[int, Sequence[float]]  # fold -> one value a seed


def save_cf_tables(
    folder: Path,
    dataset: str,
    auc: Mapping[str, Values],
    cf2label: Mapping[str, Values],
    paper: Mapping[str, Mapping[str, float]],
) -> str:
    """Write ``cf_auc`` and ``cf2label`` as CSV, Markdown and LaTeX; equal values give equal bytes.

    Args:
        folder: Where to write.
        dataset: Name for the captions.
        auc: AUC of each CF model, by fold.
        cf2label: Out-of-fold mAP of CF2Label, likewise; without entries there is no such table.
        paper: The paper's values under ``auc`` and ``cf2label``.

    Returns:
        The Markdown of both.

    Source: sections 4.1.3 and 4.2.
    """
    texts = []
    for stem, caption, measure, values in (
        ("cf_auc", "AUC on held-out interactions of train items (Table 3)", "AUC", auc),
        ("cf2label", "labels from CF vectors alone, out of fold over train items (Table 4)", "mAP", cf2label),
    ):
        if values:
            reference = REFERENCE if REFERENCE in values else next(iter(values))
            rows = compare_models(values, reference, paper.get(stem.removeprefix("cf_"), {}))
            notes = [
                f"{measure}: mean over folds, interval by t with the variance corrected for overlapping training data.",
                f"Difference: to {reference}; p: corrected paired t-test over folds, Holm's correction over the table.",
            ]
            text = save_tables(folder / stem, f"{dataset}: {caption}", notes, rows, [model_columns(measure, rows)])
            texts.append(text)
    return "\n".join(texts)


def compare_models(values: Mapping[str, Values], reference: str, paper: Mapping[str, float]) -> list[Row]:
    """One row a model: its mean, and its difference to the reference on the folds both have.

    Args:
        values: For each model and fold a value for each seed.
        reference: The model that the others are compared with.
        paper: The paper's value of some models.
    """
    rows: list[Row] = []
    p_values = []
    for name, by_fold in values.items():
        means = [float(np.mean(seeds)) for _, seeds in sorted(by_fold.items())]
        common = sorted(by_fold.keys() & values[reference].keys()) if name != reference else []
        differences = [float(np.mean(by_fold[fold]) - np.mean(values[reference][fold])) for fold in common]
        low, high = _interval(means)
        test = corrected_t_test([[value] for value in differences], HELD_OUT_TO_TRAIN) if len(common) > 1 else None
        p_values.append(test.p_value if test else None)
        rows.append({
            "model": name,
            "value": float(np.mean(means)),
            "low": low,
            "high": high,
            "paper": paper.get(name),
            "difference": float(np.mean(differences)) if differences else None,
            "p_t_test": p_values[-1],
            "n_folds": len(means),
        })  # fmt: skip
    for row, adjusted in zip(rows, holm(p_values), strict=True):
        row["p_t_test_holm"] = adjusted
    return rows


def _interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    if len(values) < 2:
        return None, None
    error = np.std(values, ddof=1) * np.sqrt(1 / len(values) + HELD_OUT_TO_TRAIN)
    half = float(student_t.ppf((1 + LEVEL) / 2, len(values) - 1) * error)
    return float(np.mean(values)) - half, float(np.mean(values)) + half


def model_columns(measure: str, rows: Sequence[Row]) -> list[Column]:
    """Printed columns of ``compare_models``'s rows."""
    columns = [
        Column("model", lambda row: str(row["model"]), numeric=False),
        Column(measure, lambda row: number(row["value"])),
        Column(f"{100 * LEVEL:g} % interval", lambda row: span(row["low"], row["high"])),
        Column("difference", lambda row: number(row["difference"], signed=True)),
        Column("p t-test", lambda row: p_value(row["p_t_test"])),
        Column("Holm", lambda row: p_value(row["p_t_test_holm"])),
        Column("folds", lambda row: str(row["n_folds"])),
    ]
    if any(row["paper"] is not None for row in rows):
        columns.insert(3, Column("paper", lambda row: number(row["paper"])))
    return columns
