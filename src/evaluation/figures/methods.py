"""Figures for one column of a two-column paper: mAP of methods, learning curves, and what all line figures share.

All take ``baseline``, the method drawn in black, ``stem``, the path without ending of the ``.png`` and ``.pdf``, and
``title``, shown above the first panel.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from src.evaluation.statistics.comparison import MethodResult
from src.files import load
from src.plotting import COLOURS, STYLE, WIDTH, save_figure

# Markers differ too, for print in grey.
_MARKERS = ("s", "D", "^", "v", "P", "X", "o")
_BASELINE_COLOUR = "#000000"


def plot_methods(results: Mapping[float, Sequence[MethodResult]], baseline: str, stem: Path, title: str = "") -> None:
    """Draw each method's mAP with its interval, one panel for each label ratio.

    A filled dot marks a difference to the baseline that is significant, a hollow one any other; the dashed line is the
    baseline's mAP. ``results`` has the rows of the table of each label ratio.
    """
    sizes = [len(rows) for rows in results.values()]
    with new_figure(0.55 + sum(0.19 * size + 0.32 for size in sizes), stem, title) as figure:
        panels = figure.subplots(len(sizes), 1, sharex=True, squeeze=False, height_ratios=[s + 0.4 for s in sizes])
        for axes, (ratio, rows) in zip(panels[:, 0], sorted(results.items()), strict=True):
            _draw_methods(axes, rows, baseline)
            axes.set_title(f"label ratio {ratio:g}", loc="left", pad=3)
        panels[-1, 0].set_xlabel("mAP (filled: difference to baseline significant)")


def plot_learning_curves(
    curves: Mapping[str, Sequence[pd.DataFrame]], baseline: str, stem: Path, title: str = ""
) -> None:
    """Draw validation mAP and loss per epoch, the mean over a method's runs and a band from smallest to largest.

    ``curves`` has the curves of each method's runs, as ``load_curves`` gives them.
    """
    with new_figure(3.4, stem, title, curves) as figure:
        panels = figure.subplots(2, 1, sharex=True)
        shown = ("val/mAP", "validation mAP"), ("val/loss", "validation loss")
        for axes, (column, label) in zip(panels, shown, strict=True):
            for name, style in line_styles(list(curves), baseline).items():
                table = pd.concat([run[column] for run in curves[name]], axis=1)
                axes.plot(table.index, table.mean(axis=1), **style | {"marker": ""}, label=name)
                if table.shape[1] > 1:
                    low, high = table.min(axis=1), table.max(axis=1)
                    axes.fill_between(table.index, low, high, color=style["color"], alpha=0.15, linewidth=0)
            axes.set_ylabel(label)
        panels[-1].set_xlabel("epoch")
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.align_ylabels(list(panels))


def load_curves(path: Path) -> pd.DataFrame:
    """Read a run's ``metrics.csv``, one row an epoch; raises ``ArtifactError`` where it is damaged."""
    return load(path, lambda: pd.read_csv(path, index_col="epoch"))


def _draw_methods(axes: Axes, rows: Sequence[MethodResult], baseline: str) -> None:
    for place, result in enumerate(rows):
        estimate = result.mean_average_precision
        is_baseline = result.method == baseline
        colour = _BASELINE_COLOUR if is_baseline else COLOURS[0]
        filled = is_baseline or (result.contrast is not None and result.contrast.significant == "yes")
        if is_baseline:
            axes.axvline(estimate.value, color=colour, linewidth=0.7, linestyle=(0, (3, 2)), zorder=1)
        axes.plot([estimate.low, estimate.high], [place, place], color=colour, linewidth=1.1, solid_capstyle="butt")
        axes.plot(
            estimate.value, place, "o", markersize=4.2, color=colour, markerfacecolor=colour if filled else "white"
        )
    axes.set_yticks(range(len(rows)), [result.name for result in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def line_styles(names: Sequence[str], baseline: str) -> dict[str, dict[str, Any]]:
    """Give each method a colour, a marker and a line style; the baseline is black and dashed."""
    black = {"color": _BASELINE_COLOUR, "marker": "o", "linestyle": "--"}
    styles = {baseline: black} if baseline in names else {}
    for place, name in enumerate(name for name in names if name != baseline):
        cycle, colour = divmod(place, len(COLOURS))
        marker = _MARKERS[(colour + cycle) % len(_MARKERS)]
        styles[name] = {"color": COLOURS[colour], "marker": marker, "linestyle": ("-", "-.", ":")[cycle % 3]}
    return styles


@contextmanager
def new_figure(height: float, stem: Path, title: str, legend: Collection[str] | None = None) -> Iterator[Figure]:
    """Yield a figure to draw on; save it with the title above, and below the panels a legend, where it hides no data.

    ``height`` is in inches, without the legend; ``legend`` has the names drawn in the first panel, None for no legend.
    """
    if legend is not None:
        height += 0.13 * -(-len(legend) // _legend_columns(legend))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure
        if legend is not None:
            handles, labels = figure.axes[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=_legend_columns(labels), handlelength=1.8)
        if title:
            figure.suptitle(title, fontsize=7.5)
        save_figure(figure, stem)


def _legend_columns(names: Collection[str]) -> int:
    longest = max(map(len, names), default=0)
    return 3 if longest <= 12 else 2 if longest <= 24 else 1
