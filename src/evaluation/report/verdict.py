"""What the page says first: a sentence for each setting, and dots with intervals, which the page draws itself."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator

from src.evaluation.statistics.comparison import MethodResult
from src.evaluation.tables.format import number, p_value, span

Value = tuple[str, float, float, float, str]
"""A row of a dot plot: name, value, the ends of its interval, and how it is drawn (``baseline``, ``yes`` or ``no``)."""


class Dot(NamedTuple):
    """A row of a dot plot; places are in percent of the axis."""

    name: str
    text: str
    place: float
    low: float
    high: float
    kind: str


class DotPlot(NamedTuple):
    """Rows, ticks (text and place), and the place of a line through all rows."""

    title: str
    rows: Sequence[Dot]
    ticks: Sequence[tuple[str, float]]
    line: float | None


class Verdict(NamedTuple):
    """The sentence, the method that it is about, and what to sort by: a significant gain first, then the larger one."""

    text: str
    best: MethodResult
    weight: tuple[bool, float]


def find_verdict(results: Sequence[MethodResult], label_ratio: float, baseline: str, level: float) -> Verdict:
    """Say how the best method of a setting compares with the baseline."""
    labels = "all labels" if label_ratio == 1 else f"{100 * label_ratio:g} % of the labels"
    weights = []
    for result in results:
        gain = result.contrast.difference.value / result.contrast.baseline if result.contrast else -np.inf
        weights.append((result.contrast is not None and result.contrast.significant == "yes" and gain > 0, gain))
    best = results[max(range(len(results)), key=weights.__getitem__)]
    contrast, estimate = best.contrast, best.mean_average_precision
    if contrast is None:
        text = f"With {labels}, {best.name} has mAP {number(estimate.value)}; no other method is compared with it."
        return Verdict(text, best, max(weights))
    difference = contrast.difference
    how = {
        "yes": "significant over test images and over training runs",
        "one run": "of one training run, so nothing is called significant",
    }.get(
        contrast.significant,
        f"not significant: Holm-adjusted p {p_value(contrast.p_randomization_holm)} over test images, "
        f"{p_value(contrast.p_t_test_holm)} over training runs",
    )
    text = (
        f"With {labels}, {best.name} reaches mAP {number(contrast.baseline + difference.value)} where {baseline} "
        f"reaches {number(contrast.baseline)}: {number(100 * max(weights)[1], 1, signed=True)} %, {100 * level:g} % "
        f"interval of the difference {span(difference.low, difference.high, signed=True)}, {how}."
    )
    return Verdict(text, best, max(weights))


def method_values(results: Sequence[MethodResult], baseline: str) -> list[Value]:
    """Rows for a dot plot of mAP; a gain that is significant is filled."""
    kinds = [(r.contrast.significant if r.contrast else "no") if r.method != baseline else "baseline" for r in results]
    estimates = [result.mean_average_precision for result in results]
    return [(r.name, e.value, e.low, e.high, k) for r, e, k in zip(results, estimates, kinds, strict=True)]


def class_values(best: MethodResult, baseline: MethodResult) -> list[Value]:
    """Rows for a dot plot of each class's difference in AP to the baseline, the largest gain first."""
    gains = dict(zip(best.labels.tolist(), (best.per_class - baseline.per_class).tolist(), strict=True))
    known = sorted((-gain, label) for label, gain in gains.items() if np.isfinite(gain))
    return [(label, -loss, *sorted((0.0, -loss)), "no" if loss > 0 else "yes") for loss, label in known]


def dot_plot(
    title: str, values: Sequence[Value], line: float | None, shared: Sequence[Value], *, signed: bool = False
) -> DotPlot:
    """Place rows on an axis that holds all values of ``shared``, with a line at the value ``line``, if any."""
    ends = [end for value in shared for end in value[1:4]]
    ticks = MaxNLocator(4).tick_values(min(ends), max(ends))

    def place(value: float) -> float:
        return round(float(100 * (value - ticks[0]) / (ticks[-1] - ticks[0])), 2)

    rows = [
        Dot(name, number(value, signed=signed), place(value), place(low), place(high), kind)
        for name, value, low, high, kind in values
    ]
    return DotPlot(
        title, rows, [(number(tick, 2, signed), place(tick)) for tick in ticks], None if line is None else place(line)
    )
