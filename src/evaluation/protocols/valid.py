"""The valid protocol: intervals, tests, slices, figures and the report of classes."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from src.artifacts import CURVES_FILE, MANIFEST_FILE, PREPARED
from src.config.stages import EvaluateConfig
from src.evaluation.figures.methods import load_curves, plot_learning_curves, plot_methods
from src.evaluation.figures.sweeps import (
    alphas_of,
    plot_alphas,
    plot_improvements,
    plot_label_ratios,
    plot_labels_saved,
)
from src.evaluation.inputs.aligned import StudyRuns
from src.evaluation.inputs.runs_table import Setting
from src.evaluation.report.examples import Picture, Thumbnails, differing_pictures
from src.evaluation.report.page import PAGE, Evaluated, PageSetting, describe_dataset, rendered_table, save_page
from src.evaluation.report.verdict import gain, plot_classes, plot_ratio, verdict
from src.evaluation.statistics.bootstrap import LEVEL
from src.evaluation.statistics.comparison import MethodResult, compare_methods
from src.evaluation.statistics.labels_saved import COLUMNS as LABELS_SAVED_COLUMNS
from src.evaluation.statistics.labels_saved import NOTE as LABELS_SAVED_NOTE
from src.evaluation.statistics.labels_saved import LabelsSaved, labels_saved
from src.evaluation.statistics.significance import MARGIN
from src.evaluation.statistics.slices import COLUMNS as SLICE_COLUMNS
from src.evaluation.statistics.slices import NOTE as SLICES_NOTE
from src.evaluation.statistics.slices import compare_slices, load_counts
from src.evaluation.tables.format import Row, build_row, columns_of, dataset_title, save_tables, to_csv
from src.files import save_text


def evaluate_classes(study: StudyRuns) -> Evaluated:
    """Compare the methods of each setting, and write tables, figures and ``report.html``."""
    cfg, dataset_dir, folder, predictions = study.cfg, study.dataset_dir, study.folder, study.predictions
    is_prepared = (dataset_dir / PREPARED / MANIFEST_FILE).is_file()
    thumbnails = Thumbnails(dataset_dir) if is_prepared else None
    counts = load_counts(dataset_dir) if is_prepared else None
    results, leaders, texts, settings, shown = {}, {}, [], [], []
    for setting, methods in study.grouped.items():
        measured = results[setting] = compare_methods(study, setting)
        paper = cfg.dataset.paper_results.get("mAP", {}) if setting.label_ratio == 1 else {}
        rows = [build_row(result, paper) for result in measured]
        caption = f"{dataset_title(dataset_dir)}: {setting.title}"
        notes = _notes(cfg, rows)
        printed = columns_of(rows)
        texts.append(save_tables(folder / f"methods_{setting.slug}", caption, notes, rows, printed))
        per_class = {"label": measured[0].labels} | {result.name: result.per_class for result in measured}
        save_text(folder / f"per_class_{setting.slug}.csv", to_csv(pd.DataFrame(per_class)))
        plain = [_jsonable(dataclasses.asdict(result)) for result in measured]
        settings.append({**setting._asdict(), "methods": plain})
        tables = [rendered_table(rows, columns) for columns in printed]
        slices = compare_slices(methods, predictions, counts, cfg) if counts else []
        if slices:
            about = f"{caption}, where it gains", [SLICES_NOTE], slices
            save_tables(folder / f"slices_{setting.slug}", *about, [SLICE_COLUMNS])
            tables.append(rendered_table(slices, SLICE_COLUMNS))
            notes = [*notes, SLICES_NOTE]
        pictures = _pictures(study, setting, measured, thumbnails) if thumbnails else []
        best = leaders[setting] = max(measured, key=gain)
        said = verdict(best, setting.label_ratio, cfg.baseline)
        classes = plot_classes(best, measured[0]) if best.contrast else None
        shown.append(PageSetting(setting.title, setting.slug, said, tables, notes, classes, pictures))
    networks = _by_network(results)
    found = {network: labels_saved(rows, cfg.baseline) for network, rows in networks.items()}
    saved = {network: entries for network, entries in found.items() if entries}
    tables_saved = _save_labels_saved(study, saved)
    texts += [text for text, _ in tables_saved]
    stems = _save_figures(study, results, saved) if cfg.figures else []
    lead = max(leaders, key=lambda setting: gain(leaders[setting]))
    shown.sort(key=lambda setting: setting.slug != lead.slug)
    by_ratio = sorted(networks[lead._replace(label_ratio=1)].items())
    beside = [row for _, rows in by_ratio for row in rows]
    dots = [plot_ratio(f"label ratio {ratio:g}", rows, cfg.baseline, beside) for ratio, rows in by_ratio]
    page = describe_dataset(dataset_dir, stems, shown, thumbnails, [table for _, table in tables_saved], dots)
    save_page(folder / PAGE, f"{dataset_title(dataset_dir)}, study {cfg.study}", [page])
    how = {name: getattr(cfg, name) for name in ("baseline", "n_resamples", "n_permutations")}
    labels = {network.network: [entry._asdict() for entry in entries] for network, entries in saved.items()}
    numbers = {**how, "confidence_level": LEVEL, "seed": cfg.seed, "settings": settings, "labels_saved": labels}
    return Evaluated(numbers, "\n".join(texts), page)


def _pictures(
    study: StudyRuns, setting: Setting, results: Sequence[MethodResult], thumbnails: Thumbnails
) -> list[tuple[str, list[Picture]]]:
    """Test images that the baseline and the best other method see most differently, in one run of each."""
    methods = study.grouped[setting]
    baseline = methods[0]
    if len(methods) < 2:
        return []
    best = methods[max(range(1, len(methods)), key=lambda n: results[n].mean_average_precision.value)]
    pairs = sorted(baseline.runs.keys() & best.runs.keys())
    if not pairs:
        return []
    fold, seed = pairs[0]
    scores = {row.name: study.predictions.load_scores(row.runs[pairs[0]]) for row in (baseline, best)}
    pictures = differing_pictures(study.predictions.test_sets[fold], scores, thumbnails)
    return [
        (f"Test images that {best.name} ranks {kind} than {baseline.name} (fold {fold}, seed {seed})", found)
        for kind, found in zip(("better", "worse"), pictures, strict=True)
    ]


def _notes(cfg: EvaluateConfig, rows: Sequence[Row]) -> list[str]:
    """Say what the columns of a table mean."""
    n_contrasts = sum(row["difference"] is not None for row in rows)
    return [
        "mAP: mean over classes with a positive test item, then over seeds, then over folds; "
        f"interval from {cfg.n_resamples} bootstrap resamples of image groups within folds.",
        f"Difference: to {cfg.baseline}, on the folds and seeds both have, same resamples for both.",
        f"p rand.: paired randomisation over image groups, {cfg.n_permutations} swaps; p t-test: over folds "
        "(variance corrected for overlapping training sets), or over seeds where there is one fold.",
        f"Holm: adjusted for the {n_contrasts} contrasts of this table; significant: both adjusted p < .05; "
        "one run: no t-test is possible, so nothing is called significant.",
        "Detectable: smallest difference that these test images would show with 80 % power at level .05.",
        f"p equal: two one-sided tests against a difference of {100 * MARGIN:g} % of the baseline, over images and "
        "over runs (the larger p, not adjusted); margin: the smallest for which it would be below .05.",
    ]


def _by_network(results: Mapping[Setting, list[MethodResult]]) -> dict[Setting, dict[float, list[MethodResult]]]:
    """Results by label ratio, of each backbone and image size; its key is its setting with all labels."""
    families: dict[Setting, dict[float, list[MethodResult]]] = defaultdict(dict)
    for setting, rows in results.items():
        families[setting._replace(label_ratio=1)][setting.label_ratio] = rows
    return families


def _save_labels_saved(
    study: StudyRuns, saved: Mapping[Setting, list[LabelsSaved]]
) -> list[tuple[str, dict[str, Any]]]:
    """Write the table of each backbone and image size; returns its text, and what the page shows of it."""
    written = []
    for network, entries in saved.items():
        rows = [entry._asdict() for entry in entries]
        note = LABELS_SAVED_NOTE.format(baseline=study.cfg.baseline)
        stem, caption = study.folder / f"labels_saved_{network.network_slug}", f"labels saved, {network.network}"
        text = save_tables(stem, f"{dataset_title(study.dataset_dir)}: {caption}", [note], rows, [LABELS_SAVED_COLUMNS])
        written.append((text, rendered_table(rows, LABELS_SAVED_COLUMNS) | {"title": caption, "note": note}))
    return written


def _save_figures(
    study: StudyRuns, results: Mapping[Setting, list[MethodResult]], saved: Mapping[Setting, list[LabelsSaved]]
) -> list[Path]:
    """Draw all figures; returns their paths without ending."""
    baseline, stems = study.cfg.baseline, []

    def draw(plot: Callable[..., None], name: str, about: str, *data: object) -> None:
        stems.append(study.folder / name)
        plot(*data, baseline, stems[-1], f"{study.dataset_dir.name}, {about}")

    for setting, rows in results.items():
        methods = study.grouped[setting]
        paths = {row.name: [study.dataset_dir / run.run / CURVES_FILE for run in row.runs.values()] for row in methods}
        curves = {name: [load_curves(path) for path in given if path.is_file()] for name, given in paths.items()}
        curves = {name: runs for name, runs in curves.items() if runs}
        if curves:
            draw(plot_learning_curves, f"learning_curves_{setting.slug}", setting.title, curves)
        if any(len(values) > 2 for values in alphas_of(methods).values()):
            draw(plot_alphas, f"mAP_by_alpha_{setting.slug}", setting.title, methods, rows)
    for network, by_ratio in _by_network(results).items():
        about, slug = network.network, network.network_slug
        draw(plot_methods, f"mAP_{slug}", about, by_ratio)
        if len(by_ratio) > 1:
            draw(plot_label_ratios, f"mAP_by_ratio_{slug}", about, by_ratio)
            draw(plot_improvements, f"mAP_improvement_{slug}", about, by_ratio)
        if network in saved:
            draw(plot_labels_saved, f"labels_saved_{slug}", about, saved[network])
    return stems


def _jsonable(value: Any) -> Any:
    """Turn arrays into lists, and leave out replicates and runs; JSON has no NaN, so it becomes null."""
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items() if key not in ("resampled", "runs")}
    if isinstance(value, np.ndarray):
        return [_jsonable(item) for item in value.tolist()]
    return None if isinstance(value, float) and not np.isfinite(value) else value
