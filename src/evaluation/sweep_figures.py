"""Figures of a sweep: mAP and its gain against the share of labels, mAP against the weight of the CF loss."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.evaluation.comparison import MethodResult
from src.evaluation.figures import finish, legend_rows, line_styles
from src.evaluation.runs_table import MethodRuns
from src.plotting import STYLE, WIDTH, save_figure

Point = tuple[float, float, float, float]  # x, y, and the ends of y's interval


def plot_label_ratios(
    results: Mapping[float, Sequence[MethodResult]], baseline: str, stem: Path, title: str = ""
) -> None:
    """Draw mAP against label ratio, one line for each method, with intervals.

    Args:
        results: Rows of the table of each label ratio, at least two ratios.
        baseline: Method drawn in black.
        stem: Path without ending; ``.png`` and ``.pdf`` are written.
        title: Shown above the panel.

    Source: paper, Figure 3.
    """
    lines: dict[str, list[Point]] = defaultdict(list)
    for ratio, rows in sorted(results.items()):
        for result in rows:
            estimate = result.mean_average_precision
            lines[result.name].append((ratio, estimate.value, estimate.low, estimate.high))
    _plot_lines(lines, baseline, stem, title, {"xlabel": "label ratio", "ylabel": "mAP", "xticks": sorted(results)})


def plot_improvements(
    results: Mapping[float, Sequence[MethodResult]], baseline: str, stem: Path, title: str = ""
) -> None:
    """Draw the relative gain in mAP over the baseline against label ratio; arguments as of ``plot_label_ratios``.

    The interval is the difference's, in percent of the baseline's mAP.

    Source: paper, Figure 4.
    """
    lines: dict[str, list[Point]] = defaultdict(list)
    for ratio, rows in sorted(results.items()):
        for result in rows:
            if result.contrast is not None:
                difference, percent = result.contrast.difference, 100 / result.contrast.baseline
                lines[result.name].append(
                    (ratio, percent * difference.value, percent * difference.low, percent * difference.high)
                )
    labels = {"xlabel": "label ratio", "ylabel": f"gain over {baseline}, %", "xticks": sorted(results)}
    _plot_lines(lines, baseline, stem, title, labels, level=0.0)


def plot_alphas(
    rows: Sequence[MethodRuns], results: Sequence[MethodResult], baseline: str, stem: Path, title: str = ""
) -> None:
    """Draw mAP against alpha for methods that ran with several; the dashed line is the baseline.

    Args:
        rows: The runs of each row of a table.
        results: The same rows, measured.
        baseline: Method without CF loss.
        stem: Path without ending.
        title: Shown above the panel.
    """
    measured = {result.name: result.mean_average_precision for result in results}
    lines: dict[str, list[Point]] = {
        method: [
            (alpha, measured[name].value, measured[name].low, measured[name].high)
            for alpha, name in sorted(values.items())
        ]
        for method, values in alphas_of(rows).items()
        if len(values) > 1
    }
    labels = {"xlabel": "alpha, weight of the CF loss", "ylabel": "mAP", "xscale": "log"}
    level = measured[baseline].value if baseline in measured else None
    _plot_lines(lines, baseline, stem, title, labels, level=level)


def alphas_of(rows: Sequence[MethodRuns]) -> dict[str, dict[float, str]]:
    """For each method the name of its row for each alpha above 0."""
    found: dict[str, dict[float, str]] = defaultdict(dict)
    for row in rows:
        for alpha in {record.alpha for record in row.runs.values()}:
            if alpha:
                found[row.method][alpha] = row.name
    return dict(found)


def _plot_lines(
    lines: Mapping[str, Sequence[Point]],
    baseline: str,
    stem: Path,
    title: str,
    labels: Mapping[str, Any],
    level: float | None = None,
) -> None:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.5 + 0.13 * legend_rows(lines)), layout="constrained")
        axes = figure.subplots()
        if level is not None:
            axes.axhline(level, color="black", linewidth=0.8, linestyle=(0, (3, 2)), label=baseline)
        gaps = np.diff(np.unique([point[0] for points in lines.values() for point in points]))
        step = 0.05 * min(gaps, default=0)
        for index, (name, style) in enumerate(line_styles(list(lines), baseline).items()):
            _draw_line(axes, np.array(lines[name]), step * (index - (len(lines) - 1) / 2), style, name)
        axes.set(**labels)
        if "xscale" in labels:
            axes.xaxis.set_major_formatter("{x:g}")  # 0.1 instead of a power of ten
        finish(figure, axes, [*lines, baseline], title)
        save_figure(figure, stem)


def _draw_line(axes: Axes, points: np.ndarray, shift: float, style: Mapping[str, Any], name: str) -> None:
    """Shifted sideways a little, so that intervals of different methods do not hide each other."""
    x, y, low, high = points.T
    x = x + shift
    axes.plot(x, y, **style, markersize=3.4, label=name)
    error = np.abs([y - low, high - y])
    axes.errorbar(x, y, error, fmt="none", ecolor=style["color"], elinewidth=0.8, alpha=0.6)
