"""Tables 3 and 4 of the paper: AUC of the CF models, and how much their vectors know of the labels."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
from scipy.stats import t as student_t

from src.evaluation.statistics.bootstrap import LEVEL
from src.evaluation.statistics.significance import corrected_t_test, holm
from src.evaluation.tables.format import Column, Row, number, p_value, save_tables, span

_log = logging.getLogger(__name__)

HELD_OUT_TO_TRAIN = 0.25
"""Interactions behind an AUC, and items of a fold of CF2Label: a fifth is held out of what the rest is fitted on."""

REFERENCE = "bpr"
COSTS = ("seconds", "gigabytes")
"""Of a run, which fits its model twice; memory at its peak, the Python process included."""


def save_cf_tables(
    folder: Path,
    dataset: str,
    values: pd.DataFrame,
    paper: Mapping[str, Mapping[str, float]],
    leaks: Sequence[str] = (),
) -> str:
    """Write ``cf_auc`` and ``cf2label`` as CSV, Markdown and LaTeX; equal values give equal bytes.

    Values of models with ``leaks`` are stamped and have files of their own. A table of some models never replaces one
    that has more: it also gets a name of its own.

    ``values`` has a row for each fit: ``table`` (auc or cf2label; seconds and gigabytes of the run), and what
    ``compare_models`` takes. ``paper`` has the paper's values under ``auc`` and ``cf2label``. ``dataset`` is named in
    the captions.

    Source: sections 4.1.3 and 4.2.
    """
    texts = []
    stamp = f" (seen: {', '.join(leaks)}; as the original did, not valid)" if leaks else ""
    costs = values[values["table"].isin(COSTS)].pivot_table(index="model", columns="table", values="value")
    for table, stem, caption, measure in (
        ("auc", "cf_auc", "AUC on held-out interactions of train items (Table 3)", "AUC"),
        ("cf2label", "cf2label", "labels from CF vectors alone, out of fold over train items (Table 4)", "mAP"),
    ):
        own = values[values["table"] == table]
        if len(own):
            path = _own_path(folder / f"{stem}{'_leaky' if leaks else ''}", own["model"].unique())
            note = (
                f"{measure}: mean over folds, interval by t with the variance corrected for overlapping training data."
            )
            if not leaks and table in paper:
                note += " The paper's models saw all interactions, held-out items' too."
            about = f"{dataset}: {caption}{stamp}", measure, own, REFERENCE, note, paper.get(table, {})
            texts.append(save_models(path, *about, costs if table == "auc" else None)[1])
    return "\n".join(texts)


def save_models(
    stem: Path,
    caption: str,
    measure: str,
    values: pd.DataFrame,
    reference: str,
    note: str,
    paper: Mapping[str, float] = MappingProxyType({}),
    costs: pd.DataFrame | None = None,
) -> tuple[list[Row], str]:
    """Write the table of ``compare_models``; without ``reference`` among the models, the first is the reference.

    ``stem`` is the path without ending, ``measure`` the header of the values, and ``note`` says how they were averaged.
    ``costs`` has further columns, by model.

    Returns:
        The rows, and the table as Markdown.
    """
    reference = reference if reference in values["model"].unique() else values["model"].iloc[0]
    rows = compare_models(values, reference, paper)
    notes = [
        note,
        f"Difference: to {reference}; p: corrected paired t-test over folds, Holm's correction over the table.",
    ]
    columns = [
        Column("model", lambda row: str(row["model"]), numeric=False),
        Column(measure, lambda row: number(row["value"])),
        Column("95 % interval", lambda row: span(row["low"], row["high"])),
        Column("difference", lambda row: number(row["difference"], signed=True)),
        Column("p t-test", lambda row: p_value(row["p_t_test"])),
        Column("Holm", lambda row: p_value(row["p_t_test_holm"])),
        Column("folds", lambda row: str(row["n_folds"])),
    ]
    if any(row["paper"] is not None for row in rows):
        columns.insert(3, Column("paper", lambda row: number(row["paper"])))
    if costs is not None and len(costs):
        rows = [{**row, **costs.loc[row["model"]].to_dict()} for row in rows]
        columns += [Column(name, lambda row, name=name: f"{row[name]:.3g}") for name in costs]  # type: ignore[misc]
    return rows, save_tables(stem, caption, notes, rows, [columns])


def compare_models(values: pd.DataFrame, reference: str, paper: Mapping[str, float]) -> list[Row]:
    """One row for each model: its mean, and its difference to the reference on the folds both have.

    ``values`` has a row for each fit: ``model``, ``fold`` and ``value``; ``paper`` the paper's value of some models.
    """
    rows: list[Row] = []
    p_values = []
    by_fold = values.pivot_table(index="model", columns="fold", values="value", sort=False).sort_index(axis=1)
    for name, of_model in by_fold.iterrows():
        means, differences = of_model.dropna(), (of_model - by_fold.loc[reference]).dropna()
        compared = name != reference and len(differences) > 0
        test = corrected_t_test([[value] for value in differences], HELD_OUT_TO_TRAIN) if compared else None
        p_values.append(test.p_value if test else None)
        low, high = _interval(means)
        rows.append({
            "model": name,
            "value": float(means.mean()),
            "low": low,
            "high": high,
            "paper": paper.get(name),
            "difference": float(differences.mean()) if compared else None,
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


def _interval(values: pd.Series) -> tuple[float | None, float | None]:
    if len(values) < 2:
        return None, None
    error = np.std(values, ddof=1) * np.sqrt(1 / len(values) + HELD_OUT_TO_TRAIN)
    low, high = student_t.interval(LEVEL, len(values) - 1, np.mean(values), error)
    return float(low), float(high)
