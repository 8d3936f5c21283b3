"""Style of all figures: one column of a two-column paper, colours for the colour-blind."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from src.files import atomic_path

WIDTH = 3.35  # inches, one column
# Okabe & Ito's palette, distinct under every kind of colour blindness; grey in place of yellow, too faint in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "fixed",
}


def save_figure(figure: Figure, stem: Path) -> None:
    """Write PNG (200 dpi) and PDF without dates or versions: equal data give equal bytes."""
    for ending, metadata in (
        ("png", {"Software": None}),
        ("pdf", dict.fromkeys(("CreationDate", "Creator", "Producer"))),
    ):
        with atomic_path(stem.parent / f"{stem.name}.{ending}") as temporary:
            figure.savefig(temporary, format=ending, dpi=200, metadata=metadata)
