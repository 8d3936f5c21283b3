"""Tables 3 and 4 of the paper: AUC of the CF models, and how much their vectors know of the labels."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
from scipy.stats import t as student_t

from src.evaluation.statistics.significance import corrected_t_test, holm
from src.evaluation.tables.format import Column, Row, number, p_value, save_tables, span

_log = logging.getLogger(__name__)

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
    leaks: Sequence[str] = (),
) -> str:
    """Write ``cf_auc`` and ``cf2label`` as CSV, Markdown and LaTeX; equal values give equal bytes.

    Values of leaky models are stamped and have files of their own. A table of some models never replaces one that has
    more: it also gets a name of its own.

    Args:
        folder: Where to write.
        dataset: Name for the captions.
        auc: AUC of each CF model, by fold.
        cf2label: Out-of-fold mAP of CF2Label, by fold; without entries there is no such table.
        paper: The paper's values under ``auc`` and ``cf2label``.
        leaks: The held-out data that the models have seen.

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
            stamp = f" (seen: {', '.join(leaks)}; as the original did, not valid)" if leaks else ""
            path = _own_path(folder / f"{stem}{'_leaky' if leaks else ''}", list(values))
            note = (
                f"{measure}: mean over folds, interval by t with the variance corrected for overlapping training data."
            )
            known = paper.get(stem.removeprefix("cf_"), {})
            _, text = save_models(path, f"{dataset}: {caption}{stamp}", measure, values, REFERENCE, note, known)
            texts.append(text)
    return "\n".join(texts)


def save_models(
    stem: Path,
    caption: str,
    measure: str,
    values: Mapping[str, Values],
    reference: str,
    note: str,
    paper: Mapping[str, float] = MappingProxyType({}),
) -> tuple[list[Row], str]:
    """Write the table of ``compare_models``; without ``reference`` among the models, the first is the reference.

    ``stem`` is the path without ending, ``measure`` the header of the values, and ``note`` says how they were averaged.

    Returns:
        The rows, and the table as Markdown.
    """
    reference = reference if reference in values else next(iter(values))
    rows = compare_models(values, reference, paper)
    notes = [
        note,
        f"Difference: to {reference}; p: corrected paired t-test over folds, Holm's correction over the table.",
    ]
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
    return rows, save_tables(stem, caption, notes, rows, [columns])


def compare_models(values: Mapping[str, Values], reference: str, paper: Mapping[str, float]) -> list[Row]:
    """One row for each model: its mean, and its difference to the reference on the folds both have.

    Args:
        values: For each model and fold a value for each seed.
        reference: The model that the others are compared with.
        paper: The paper's value of some models.
    """
    rows: list[Row] = []
    p_values = []
    for name, by_fold in values.items():
        means = {fold: float(np.mean(by_fold[fold])) for fold in sorted(by_fold)}
        others = values[reference] if name != reference else {}
        differences = [mean - float(np.mean(others[fold])) for fold, mean in means.items() if fold in others]
        test = corrected_t_test([[value] for value in differences], HELD_OUT_TO_TRAIN) if differences else None
        p_values.append(test.p_value if test else None)
        low, high = _interval(list(means.values()))
        rows.append({
            "model": name,
            "value": float(np.mean(list(means.values()))),
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


def _own_path(stem: Path, models: Sequence[str]) -> Path:
    """``stem``, or where a table of other models lies there a path that names these."""
    present = stem.with_name(f"{stem.name}.csv")
    if not present.is_file() or set(pd.read_csv(present)["model"]) <= set(models):
        return stem
    own = stem.with_name(f"{stem.name}_{'_'.join(models)}")
    _log.info("%s has more models and stays; the table of these is %s.md.", present, own)
    return own


def _interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    if len(values) < 2:
        return None, None
    error = np.std(values, ddof=1) * np.sqrt(1 / len(values) + HELD_OUT_TO_TRAIN)
    half = float(student_t.ppf((1 + LEVEL) / 2, len(values) - 1) * error)
    return float(np.mean(values)) - half, float(np.mean(values)) + half
