"""Figures of a sweep: mAP and its gain against the share of labels, mAP against the weight of the CF loss.

``results`` has the rows of the table of each label ratio; see ``methods`` for what all figures take.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from src.evaluation.figures.methods import line_styles, new_figure
from src.evaluation.inputs.runs_table import MethodRuns
from src.evaluation.statistics.bootstrap import Estimate
from src.evaluation.statistics.comparison import MethodResult
from src.evaluation.statistics.labels_saved import LabelsSaved

Results = Mapping[float, Sequence[MethodResult]]
Interval = tuple[float, float, float]  # y and the ends of its interval
Point = tuple[float, float, float, float]  # x, then an Interval

_NO_INTERVAL = (float("nan"),) * 3


def plot_label_ratios(results: Results, baseline: str, stem: Path, title: str = "") -> None:
    """Draw mAP against label ratio (at least two), one line for each method, with intervals.

    Source: paper, Figure 3.
    """
    lines = _by_ratio(results, lambda result: _interval(result.mean_average_precision))
    _plot_lines(lines, baseline, stem, title, xlabel="label ratio", ylabel="mAP", xticks=sorted(results))


def plot_improvements(results: Results, baseline: str, stem: Path, title: str = "") -> None:
    """Draw the relative gain in mAP over the baseline against label ratio.

    The interval is the difference's, in percent of the baseline's mAP.

    Source: paper, Figure 4.
    """

    def gain(result: MethodResult) -> Interval | None:
        contrast = result.contrast
        return _interval(contrast.difference, 100 / contrast.baseline) if contrast else None

    ylabel, ticks = f"gain over {baseline}, %", sorted(results)
    lines = _by_ratio(results, gain)
    _plot_lines(lines, baseline, stem, title, level=0.0, xlabel="label ratio", ylabel=ylabel, xticks=ticks)


def plot_labels_saved(saved: Sequence[LabelsSaved], baseline: str, stem: Path, title: str = "") -> None:
    """Draw the label ratio that the baseline needs for a method's mAP against the method's own, with intervals.

    Above the dashed line, where both are equal, the method saves labels. Both axes are logarithmic.
    """
    lines: dict[str, list[Point]] = defaultdict(list)
    for entry in saved:
        lines[entry.method].append((entry.label_ratio, entry.equals, entry.equals_low, entry.equals_high))
    ratios = sorted({entry.label_ratio for entry in saved})
    with new_figure(2.8, stem, title, lines) as figure:
        axes = figure.subplots()
        axes.plot(ratios, ratios, color="black", linewidth=0.8, linestyle=(0, (3, 2)))
        for index, (name, style) in enumerate(line_styles(list(lines), baseline).items()):
            points = np.array(lines[name])
            points[:, 0] *= 1.03 ** (index - (len(lines) - 1) / 2)
            _draw_line(axes, points, 0.0, style, name)
        axes.set(xscale="log", yscale="log", xlabel="label ratio", ylabel=f"label ratio of {baseline} with equal mAP")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(ratios, [f"{ratio:g}" for ratio in ratios])
            axis.set_ticks([], minor=True)


def plot_alphas(
    rows: Sequence[MethodRuns], results: Sequence[MethodResult], baseline: str, stem: Path, title: str = ""
) -> None:
    """Draw mAP against alpha for methods that ran with several; the dashed line is the baseline.

    ``rows`` has the runs of each row of a table; ``results`` are the same rows, measured.
    """
    measured = {result.name: result.mean_average_precision for result in results}
    lines = {
        method: [(alpha, *_interval(measured[name])) for alpha, name in sorted(values.items())]
        for method, values in alphas_of(rows).items()
        if len(values) > 1
    }
    level = measured[baseline].value if baseline in measured else None
    xlabel = "alpha, weight of the CF loss"
    _plot_lines(lines, baseline, stem, title, level=level, xlabel=xlabel, ylabel="mAP", xscale="log")


def alphas_of(rows: Sequence[MethodRuns]) -> dict[str, dict[float, str]]:
    """For each method the name of its row for each alpha above 0."""
    found: dict[str, dict[float, str]] = defaultdict(dict)
    for row in rows:
        for alpha in {record.alpha for record in row.runs.values()}:
            if alpha:
                found[row.method][alpha] = row.name
    return dict(found)


def _interval(estimate: Estimate, scale: float = 1.0) -> Interval:
    return scale * estimate.value, scale * estimate.low, scale * estimate.high


def _by_ratio(results: Results, value: Callable[[MethodResult], Interval | None]) -> dict[str, list[Point]]:
    """Points of each method at all label ratios, NaN where it has no value: its line stops there."""
    found = {(ratio, row.name): value(row) for ratio, rows in sorted(results.items()) for row in rows}
    names = dict.fromkeys(name for (_, name), interval in found.items() if interval)
    return {name: [(ratio, *(found.get((ratio, name)) or _NO_INTERVAL)) for ratio in sorted(results)] for name in names}


def _plot_lines(
    lines: Mapping[str, Sequence[Point]],
    baseline: str,
    stem: Path,
    title: str,
    level: float | None = None,
    **labels: Any,
) -> None:
    with new_figure(2.5, stem, title, lines) as figure:
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


def _draw_line(axes: Axes, points: np.ndarray, shift: float, style: Mapping[str, Any], name: str) -> None:
    """Shifted sideways a little, so that intervals of different methods do not hide each other."""
    x, y, low, high = points.T
    x = x + shift
    axes.plot(x, y, **style, markersize=3.4, label=name)
    error = np.abs([y - low, high - y])
    axes.errorbar(x, y, error, fmt="none", ecolor=style["color"], elinewidth=0.8, alpha=0.6)
