"""Figure 2 of the paper: how many items each label has."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from src.plotting import COLOURS, STYLE, WIDTH, save_figure

LONGEST = 40  # characters of a name that are shown
NAMED = 40  # with more labels their names would not be legible


def plot_items_per_label(counts: Mapping[str, int], gini_index: float, stem: Path, title: str) -> None:
    """Draw the number of items with image of each label, the most frequent first.

    ``stem`` is a path without ending; ``.png`` and ``.pdf`` are written.

    Source: paper, Figure 2.
    """
    names = sorted(counts, key=lambda name: (-counts[name], name))
    named = len(names) <= NAMED
    with mpl.rc_context(STYLE):
        axes = (figure := Figure(figsize=(WIDTH, 2.2 if named else 1.7), layout="constrained")).subplots()
        axes.bar(range(len(names)), [counts[name] for name in names], width=0.8 if named else 1.0, color=COLOURS[0])
        axes.set_title(f"{title}: {len(names)} labels, Gini index {gini_index:.2f}", loc="left")
        axes.set_ylabel("items")
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.grid(visible=False, axis="x")
        if named:
            shown = [textwrap.shorten(name, LONGEST, placeholder="...") or name[:LONGEST] for name in names]
            axes.set_xticks(range(len(names)), shown, rotation=90, fontsize=5.5)
        else:
            axes.set_xlabel("labels, from the most to the least frequent")
        save_figure(figure, stem)
