"""The evaluation stage: reads predicted runs, writes tables, figures and all numbers."""

import dataclasses
import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.artifacts import CURVES_FILE, EVALUATION_DIR, MANIFEST_FILE, PREPARED, RESULTS_FILE, save_json, save_text
from src.config import EvaluateConfig, check_choice
from src.errors import ArtifactError
from src.evaluation.aligned import AlignedPredictions
from src.evaluation.comparison import MethodResult, Resampling, compare_methods
from src.evaluation.examples import Picture, Thumbnails, differing_pictures
from src.evaluation.figures import load_curves, plot_learning_curves, plot_methods
from src.evaluation.page import PageDataset, PageSetting, describe_dataset, rendered_table, save_page
from src.evaluation.paper_table import save_paper_table
from src.evaluation.regression import evaluate_regression
from src.evaluation.runs_table import MethodRuns, Setting, group_by_setting, load_run_records
from src.evaluation.slices import NOTE, compare_slices, load_counts, slice_columns
from src.evaluation.sweep_figures import alphas_of, plot_alphas, plot_improvements, plot_label_ratios
from src.evaluation.tables import Row, build_row, columns_of, save_tables, to_csv

_log = logging.getLogger(__name__)
PAGE = "report.html"


def evaluate(cfg: EvaluateConfig) -> dict[str, Any]:
    """Evaluate the predicted runs of one dataset, or of all datasets that have any.

    Writes ``outputs/<dataset>/evaluation/``: for each setting (backbone, image size, label ratio) a table and the
    average precision of each class, figures, ``results.json`` with every number, and ``report.html`` with all of it on
    one page. ``dataset=all`` also writes ``outputs/evaluation/``: the tables and the report of all datasets. Equal
    inputs and seed give equal bytes.

    Returns:
        The content of ``results.json``; with ``dataset=all`` one such mapping for each dataset.

    Raises:
        ArtifactError: There is nothing to evaluate, or runs do not fit each other; the message says what to run.
        ConfigError: The protocol is unknown.
    """
    check_choice("protocol", cfg.protocol, ("valid", "paper"))
    outputs_dir = Path(cfg.outputs_dir)
    name = cfg.dataset.name
    if name != "all":
        return _evaluate_dataset(outputs_dir / name, cfg)[0]
    found = sorted(path.parent for path in outputs_dir.glob(f"*/{RESULTS_FILE}") if path.parent.name != EVALUATION_DIR)
    if not found:
        raise ArtifactError(
            f"Nothing to evaluate: no dataset in {outputs_dir} has predictions; run "
            "`python main_predict_testset.py dataset=...` for each dataset first."
        )
    contents, texts, pages = {}, [], []
    for dataset_dir in found:
        contents[dataset_dir.name], text, page = _evaluate_dataset(dataset_dir, cfg)
        texts.append(text)
        pages += [page] if page else []
    folder = outputs_dir / EVALUATION_DIR
    save_text(folder / f"methods_{cfg.study}_{cfg.protocol}.md", "\n".join(texts))
    if pages:
        save_page(folder / PAGE, f"All datasets, study {cfg.study}", pages)
    return contents


def _evaluate_dataset(dataset_dir: Path, cfg: EvaluateConfig) -> tuple[dict[str, Any], str, PageDataset | None]:
    """Evaluate one dataset; returns the numbers, the Markdown of its tables, and what an HTML page shows of it."""
    grouped = group_by_setting(load_run_records(dataset_dir, cfg.study), cfg.baseline)
    predictions = AlignedPredictions(dataset_dir)
    folder = dataset_dir / EVALUATION_DIR
    if cfg.study != EvaluateConfig.study:
        folder = folder / cfg.study
    about = {"dataset": dataset_dir.name, "study": cfg.study, "protocol": cfg.protocol}
    if cfg.protocol == "paper":
        rows, text = save_paper_table(grouped, predictions, cfg, folder, dataset_dir.name)
        return _report(folder / "results_paper.json", {**about, "settings": rows}, text), text, None
    about["baseline"] = cfg.baseline
    if predictions.are_numbers(next(iter(grouped.values()))[0]):
        numbers, text = evaluate_regression(grouped, cfg.baseline, predictions, folder, dataset_dir.name)
        return _report(folder / "results.json", {**about, "settings": numbers}, text), text, None
    how = Resampling(cfg.n_resamples, cfg.n_permutations, cfg.confidence_level, cfg.seed)
    is_prepared = (dataset_dir / PREPARED / MANIFEST_FILE).is_file()
    thumbnails = Thumbnails(dataset_dir) if is_prepared else None
    counts = load_counts(dataset_dir)
    results, texts, settings, shown = {}, [], [], []
    for setting, methods in grouped.items():
        results[setting] = compare_methods(setting, methods, cfg.baseline, predictions, how)
        paper = cfg.dataset.paper_results.get("mAP", {}) if setting.label_ratio == 1 else {}
        rows = [build_row(result, paper) for result in results[setting]]
        caption = f"{dataset_dir.name}: {setting.title}"
        printed = columns_of(rows, cfg.confidence_level)
        texts.append(save_tables(folder / f"methods_{setting.slug}", caption, _notes(cfg, rows), rows, printed))
        _save_per_class(folder / f"per_class_{setting.slug}.csv", results[setting])
        settings.append({**setting._asdict(), "methods": [_jsonable(result) for result in results[setting]]})
        tables = [rendered_table(rows, columns) for columns in printed]
        slices = compare_slices(methods, cfg.baseline, predictions, counts, how) if counts else []
        if slices:
            columns = slice_columns(cfg.confidence_level)
            save_tables(folder / f"slices_{setting.slug}", f"{caption}, where it gains", [NOTE], slices, [columns])
            tables.append(rendered_table(slices, columns))
        pictures = _pictures(methods, results[setting], predictions, thumbnails)
        notes = [*_notes(cfg, rows), *([NOTE] if slices else [])]
        shown.append(PageSetting(setting.title, setting.slug, tables, notes, pictures))
    stems = _save_figures(dataset_dir, folder, grouped, results, cfg.baseline) if cfg.figures else []
    page = describe_dataset(dataset_dir, stems, shown, thumbnails)
    save_page(folder / PAGE, f"{dataset_dir.name}, study {cfg.study}", [page])
    text = "\n".join(texts)
    content = {**about, **dataclasses.asdict(how), "settings": settings}
    return _report(folder / "results.json", content, text), text, page


def _report(path: Path, content: dict[str, Any], text: str) -> dict[str, Any]:
    """Write all numbers, print the tables, and return the numbers."""
    save_json(path, content)
    _log.info("Tables and all numbers: %s\n\n%s", path.parent, text)
    return content


def _pictures(
    methods: Sequence[MethodRuns],
    results: Sequence[MethodResult],
    predictions: AlignedPredictions,
    thumbnails: Thumbnails | None,
) -> list[tuple[str, list[Picture]]]:
    """Test images that the baseline and the best other method see most differently, in one run of each."""
    if len(methods) < 2 or thumbnails is None:
        return []
    baseline, others = methods[0], {row.name: row for row in methods[1:]}
    best = others[max(results[1:], key=lambda result: result.mean_average_precision.value).name]
    pairs = sorted(baseline.runs.keys() & best.runs.keys())
    if not pairs:
        return []
    scores = {row.name: predictions.load_scores(row.runs[pairs[0]]) for row in (baseline, best)}
    fold, seed = pairs[0]
    better, worse = differing_pictures(predictions.test_sets[fold], scores, thumbnails)
    where = f"fold {fold}, seed {seed}"
    return [
        (f"Test images that {best.name} ranks better than {baseline.name} ({where})", better),
        (f"Test images that {best.name} ranks worse than {baseline.name} ({where})", worse),
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
    ]


def _save_per_class(path: Path, results: Sequence[MethodResult]) -> None:
    """Write the average precision of each class, one column for each method; empty where no test item has the class."""
    labels = results[0].labels
    save_text(
        path,
        to_csv([{"label": str(n)} | {r.name: float(r.per_class[i]) for r in results} for i, n in enumerate(labels)]),
    )


def _save_figures(
    dataset_dir: Path,
    folder: Path,
    grouped: dict[Setting, list[MethodRuns]],
    results: dict[Setting, list[MethodResult]],
    baseline: str,
) -> list[Path]:
    """Draw all figures; returns their paths without ending."""
    stems = []
    families: dict[tuple[str, int], dict[float, list[MethodResult]]] = defaultdict(dict)
    for setting, rows in results.items():
        families[setting[:2]][setting.label_ratio] = rows
        curves = {
            row.name: [
                load_curves(path)
                for path in (dataset_dir / r.run / CURVES_FILE for r in row.runs.values())
                if path.is_file()
            ]
            for row in grouped[setting]
        }
        curves = {name: runs for name, runs in curves.items() if runs}
        if curves:
            title = f"{dataset_dir.name}, {setting.title}"
            stems.append(folder / f"learning_curves_{setting.slug}")
            plot_learning_curves(curves, baseline, stems[-1], title)
        if any(len(values) > 2 for values in alphas_of(grouped[setting]).values()):
            stems.append(folder / f"mAP_by_alpha_{setting.slug}")
            plot_alphas(grouped[setting], rows, baseline, stems[-1], f"{dataset_dir.name}, {setting.title}")
    for (backbone, image_size), by_ratio in families.items():
        title = f"{dataset_dir.name}, {backbone}, {image_size} px"
        slug = Setting(backbone, image_size, 0).slug.rsplit("_ratio", 1)[0]
        stems.append(folder / f"mAP_{slug}")
        plot_methods(by_ratio, baseline, stems[-1], title)
        if len(by_ratio) > 1:
            stems.append(folder / f"mAP_by_ratio_{slug}")
            plot_label_ratios(by_ratio, baseline, stems[-1], title)
            stems.append(folder / f"mAP_improvement_{slug}")
            plot_improvements(by_ratio, baseline, stems[-1], title)
    return stems


def _jsonable(value: Any) -> Any:
    """Turn results into plain mappings, lists and numbers; JSON has no NaN, so it becomes null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return [_jsonable(item) for item in value.tolist()]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value
