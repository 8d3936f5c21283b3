"""The README's two figures, docs/method.png and docs/label_ratio.png: python docs/figures.py."""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.ticker import NullLocator
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.plotting import COLOURS  # noqa: E402  (found only once the root is on the path)

BLUE, ORANGE = COLOURS[:2]
INK, GREY, PALE = "#1A1A1A", "#6E6E6E", "#A6A6A6"
HEIGHT = 330  # CSS pixels; both figures stand side by side in the README
TEXT = {"font.family": "DejaVu Sans", "font.size": 9.4}  # 13 CSS pixels, 10 on a phone
EXAMPLE = "1f353"  # strawberry
METHODS = {"image_only": (INK, "o", -1), "pseudo_label": (BLUE, "s", 0), "distill_prior": (ORANGE, "D", 1)}


def draw_method(path: Path) -> None:
    """Draw what training uses in grey and what labels an image in bold, in CSS pixels from the lower left corner."""
    figure, axes = blank(width=470)
    axes.add_patch(FancyBboxPatch((4, 156), 462, 170, boxstyle="round,pad=0,rounding_size=8", fc="#F3F3F3", ec="none"))
    axes.text(16, 176, "training only", color=GREY, va="center", style="italic")
    axes.text(16, 18, "inference: the image alone", color=INK, va="center", weight="bold")

    draw_interactions(axes, left=16, bottom=214)
    draw_vectors(axes, left=246, bottom=214)
    axes.text(16, 304, "users \N{MULTIPLICATION SIGN} items", color=GREY, va="center")
    axes.text(246, 304, "CF target", color=GREY, va="center")
    axes.text(340, 250, "item vectors\nor the labels\nthey imply", color=GREY, va="center", linespacing=1.35)
    box(axes, 114, 250, "CF model", bold=False)
    arrow(axes, (91, 250), (112, 250), bold=False)
    arrow(axes, (208, 250), (242, 250), bold=False)

    axes.plot((160, 160, 285, 285), (110, 138, 138, 200), color=PALE, lw=1.4, solid_joinstyle="round")
    arrow(axes, (285, 190), (285, 211), bold=False)
    axes.text(294, 176, "also predicted", color=GREY, va="center")

    with Image.open(ROOT / "data" / "emoji" / "images" / f"{EXAMPLE}.png") as picture:
        axes.imshow(picture.convert("RGBA"), extent=(16, 88, 47, 119), interpolation="lanczos", zorder=3)
    box(axes, 114, 83, "backbone", bold=True)
    box(axes, 239, 83, "label head", bold=True)
    axes.text(364, 83, "Food & Drink\nfood-fruit", color=INK, va="center", weight="bold", linespacing=1.35)
    arrow(axes, (88, 83), (112, 83), bold=True)
    arrow(axes, (208, 83), (237, 83), bold=True)
    arrow(axes, (333, 83), (360, 83), bold=True)
    save(figure, path)


def draw_label_ratio(path: Path) -> None:
    """Draw test mAP of three methods against the share of labelled images, from the published tables."""
    tables = {}
    for table in (ROOT / "results" / "emoji" / "evaluation" / "frozen").glob("methods_*_ratio*.csv"):
        tables[float(table.stem.rpartition("ratio")[2])] = pd.read_csv(table).set_index("method")
    ratios = sorted(tables)
    middle = np.mean([tables[ratios[-1]].loc[method, "mAP"] for method in METHODS])
    figure = Figure(figsize=(3.5, HEIGHT / 100))
    axes = figure.add_axes((0.105, 0.145, 0.60, 0.745))
    for method, (colour, marker, place) in METHODS.items():
        rows = pd.DataFrame([tables[ratio].loc[method] for ratio in ratios])
        x = 100 * np.array(ratios) * 1.05**-place  # beside each other, so that no interval hides another
        axes.vlines(x, rows["mAP_low"].astype(float), rows["mAP_high"].astype(float), color=colour, lw=1.3, alpha=0.5)
        axes.plot(x, rows["mAP"].astype(float), color=colour, lw=1.8)
        hollow = (rows["significant"] == "no").to_numpy()
        fill = np.where(hollow, "white", colour)
        axes.scatter(x, rows["mAP"].astype(float), s=28, marker=marker, color=fill, edgecolors=colour, lw=1.4, zorder=4)
        for yes, left, top, percent in zip(~hollow, x, rows["mAP_high"], rows["difference_percent"], strict=True):
            if yes and method == "distill_prior":
                text = f"+{percent:.0f} %"
                axes.text(1.07 * left, top + 0.005, text, color=colour, ha="right", va="bottom", weight="bold")
        axes.text(124, middle + 0.028 * place, method, color=colour, va="center", weight="bold")
    axes.set(xscale="log", xlim=(5, 116), ylim=(0.2, 0.6))
    axes.set_xticks([100 * ratio for ratio in ratios], [f"{100 * ratio:.0f} %" for ratio in ratios])
    axes.set_yticks([0.2, 0.3, 0.4, 0.5], [".2", ".3", ".4", ".5"])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("images with labels", color=GREY, labelpad=5)
    axes.set_title("test mAP, emoji", loc="left", fontsize=9.4, color=GREY, pad=8)
    axes.grid(axis="y", color="#E4E4E4", lw=0.8)
    axes.tick_params(length=0, pad=5, colors=GREY)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(PALE)
    save(figure, path)


def draw_interactions(axes: Axes, left: float, bottom: float) -> None:
    """Draw a grid of users by items with some cells filled."""
    met = np.random.default_rng(3).random((6, 6)) < 0.36
    for row, column in np.ndindex(met.shape):
        colour = PALE if met[row, column] else "white"
        axes.add_patch(Rectangle((left + 12 * column, bottom + 12 * row), 12, 12, fc=colour, ec="#D0D0D0", lw=0.8))


def draw_vectors(axes: Axes, left: float, bottom: float) -> None:
    """Draw some item vectors, one a row, with values as shades of blue."""
    values = np.random.default_rng(5).random((4, 6))
    for row, column in np.ndindex(values.shape):
        colour = mpl.colormaps["Blues"](0.12 + 0.5 * values[row, column])
        axes.add_patch(Rectangle((left + 13 * column, bottom + 19 * row), 13, 15, fc=colour, ec="white", lw=0.8))


def box(axes: Axes, left: float, middle: float, text: str, *, bold: bool) -> None:
    """Draw a named part of the network."""
    look = {"fc": "white", "ec": INK if bold else PALE, "lw": 2.4 if bold else 1.2}
    axes.add_patch(FancyBboxPatch((left, middle - 23), 94, 46, boxstyle="round,pad=0,rounding_size=6", **look))
    weight = "bold" if bold else "normal"
    axes.text(left + 47, middle, text, ha="center", va="center", color=INK if bold else GREY, weight=weight)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], *, bold: bool) -> None:
    """Draw an arrow."""
    look = {"color": INK if bold else PALE, "lw": 2.6 if bold else 1.4, "mutation_scale": 14 if bold else 10}
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", shrinkA=0, shrinkB=0, **look))


def blank(width: int) -> tuple[Figure, Axes]:
    """A figure whose coordinates are CSS pixels."""
    figure = Figure(figsize=(width / 100, HEIGHT / 100))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, HEIGHT))
    axes.axis("off")
    axes.set_aspect("auto")
    return figure, axes


def save(figure: Figure, path: Path) -> None:
    """Write a PNG at three times its size on the page, the same bytes for the same data."""
    figure.savefig(path, dpi=300, metadata={"Software": None})


if __name__ == "__main__":
    with mpl.rc_context(TEXT):
        draw_method(ROOT / "docs" / "method.png")
        draw_label_ratio(ROOT / "docs" / "label_ratio.png")
