"""What the page says first: a sentence for each setting, and dots with intervals, which the page draws itself."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from src.evaluation.statistics.comparison import MethodResult
from src.evaluation.tables.format import number, p_value, span

Plot = dict[str, Any]
Row = tuple[str, float, float, float, str]
"""Name, value, ends of its interval, and how it is drawn: ``baseline``, or ``yes`` for filled."""


def gain(result: MethodResult) -> tuple[bool, float]:
    """What methods are ordered by: a significant gain comes first, then the larger one, relative to the baseline."""
    contrast = result.contrast
    value = contrast.difference.value / contrast.baseline if contrast else -np.inf
    return contrast is not None and contrast.significant == "yes" and value > 0, value


def verdict(best: MethodResult, label_ratio: float, baseline: str) -> str:
    """Say how the best method of a setting compares with the baseline."""
    contrast, name = best.contrast, best.name
    labels = "all labels" if label_ratio == 1 else f"{100 * label_ratio:g} % of the labels"
    if contrast is None:
        value = number(best.mean_average_precision.value)
        return f"With {labels}, {name} has mAP {value}; no other method is compared with it."
    p_values = map(p_value, (contrast.p_randomization_holm, contrast.p_t_test_holm))
    how = {
        "yes": "significant over test images and over training runs",
        "no": "not significant: Holm-adjusted p {} over test images, {} over training runs".format(*p_values),
    }.get(contrast.significant, "of one training run, so nothing is called significant")
    value, change = number(contrast.baseline + contrast.difference.value), number(100 * gain(best)[1], 1, signed=True)
    return (
        f"With {labels}, {name} reaches mAP {value} where {baseline} reaches {number(contrast.baseline)}: {change} %, "
        "95 % interval of the difference "
        f"{span(contrast.difference.low, contrast.difference.high, signed=True)}, {how}."
    )


def dot_plot(title: str, rows: Sequence[Row], line: float | None, shared: Sequence[Row], sign: str = "") -> Plot:
    """Rows, and a line through all of them, on an axis that also holds those of ``shared``."""
    ends = [end for row in shared for end in row[1:4]]
    ticks = [float(tick) for tick in MaxNLocator(4).tick_values(min(ends), max(ends))]
    return {"title": title, "rows": rows, "line": line, "ticks": ticks, "sign": sign}


def plot_ratio(title: str, results: Sequence[MethodResult], baseline: str, beside: Sequence[MethodResult]) -> Plot:
    """The methods' mAP; filled: a significant difference to the baseline."""

    def row(result: MethodResult) -> Row:
        estimate = result.mean_average_precision
        kind = "baseline" if result.method == baseline else result.contrast.significant if result.contrast else "no"
        return result.name, estimate.value, estimate.low, estimate.high, kind

    rows = [row(result) for result in results]
    line = next((value for _, value, *_, kind in rows if kind == "baseline"), None)
    return dot_plot(title, rows, line, [row(result) for result in beside])


def plot_classes(best: MethodResult, baseline: MethodResult) -> Plot:
    """Each class's difference in AP to the baseline, the largest gain first."""
    gains = zip((best.per_class - baseline.per_class).tolist(), best.labels.tolist(), strict=True)
    known = sorted(((value, label) for value, label in gains if np.isfinite(value)), key=lambda one: (-one[0], one[1]))
    rows = [(label, value, min(value, 0.0), max(value, 0.0), "yes" if value > 0 else "no") for value, label in known]
    return dot_plot(f"Difference in AP, {best.name} to {baseline.name}", rows, 0.0, rows, "+")
