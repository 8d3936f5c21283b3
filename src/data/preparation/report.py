"""The report of a prepared dataset: the paper's Table 2, and everything that was kept, merged or dropped, and why."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure

from src.config.datasets import DatasetConfig
from src.data.folds import taking_part
from src.data.images.duplicates import describe_lookalikes
from src.data.preparation.catalog import count_labels
from src.data.preparation.interactions import Cleaned
from src.plotting import COLOURS, STYLE, WIDTH, save_figure

EXAMPLES = 20  # ids listed for each reason
LONGEST = 40  # characters of a name that are shown
NAMED = 40  # with more labels their names would not be legible

TABLE_2 = {
    "images": "Images",
    "interactions": "Interactions",
    "users": "Users",
    "sparsity": "Sparsity",
    "labels": "Labels",
    "average_positive_labels": "Avg. pos. labels",
    "gini_index": "Gini index",
}


def describe_dataset(items: pd.DataFrame, interactions: Cleaned, label_names: list[str]) -> dict[str, Any]:
    """Figures of the paper's Table 2; averages and the Gini index are over items that take part.

    ``sparsity`` is what the paper calls so: the share of user-item pairs with an interaction.
    """
    counts = count_labels(items)
    n_images = items["image_paths"].map(len)
    with_image = items[n_images > 0]
    labelled = items.loc[taking_part(items), "labels"].dropna()
    pairs = interactions.n_users * len(items)
    return {
        "images": int(n_images.sum()),
        "items": len(items),
        "image_groups": int(with_image["image_group"].nunique()),
        "interactions": interactions.n_interactions,
        "users": interactions.n_users,
        "sparsity": interactions.n_interactions / pairs if pairs else 0.0,
        "labels": len(label_names),
        "labelled_items": len(labelled),
        "average_positive_labels": float(labelled.map(len).mean()) if len(labelled) else 0.0,
        "gini_index": gini_index([counts[name] for name in label_names]),
        "images_with_interactions": int((interactions.users_of_item > 0)[n_images > 0].sum()),
    }


def gini_index(counts: list[int]) -> float:
    """Gini index of items over labels: 0 when all labels have as many, towards 1 when one has nearly all.

    With counts x sorted upwards: sum_i (2 i - n - 1) x_i / (n sum x).
    """
    values, n = np.sort(np.asarray(counts, dtype=np.float64)), len(counts)
    return float(((2 * np.arange(1, n + 1) - n - 1) * values).sum() / (n * values.sum())) if any(counts) else 0.0


def describe_items(items: pd.DataFrame, users_of_item: np.ndarray, named: int) -> dict[str, int]:
    """Items that lack something, and why those without image have none."""
    labels = items["labels"]
    return {
        "whose_image_is_not_named": len(items) - named,
        "whose_image_was_refused": named - int((items["image_paths"].map(len) > 0).sum()),
        "with_unknown_labels": int(labels.isna().sum()),
        "known_to_have_no_label": int((labels.str.len() == 0).sum()),
        "without_interactions": int((users_of_item == 0).sum()),
    }


def describe_images(images: pd.DataFrame, files: pd.DataFrame, cfg: DatasetConfig) -> dict[str, Any]:
    """Images that repeat, look alike, or had to be changed to be stored, as ``write_store`` takes and gives them."""
    items_of = images["path"].map(files["digest"]).value_counts()
    shared = items_of[items_of > 1]
    distinct = files[files["digest"].notna()].drop_duplicates("digest").sort_values("digest")
    short, long = distinct[["width", "height"]].min(axis=1), distinct[["width", "height"]].max(axis=1)
    hashes = np.array(distinct["hash"].tolist(), np.uint64)
    reasons = images.assign(reason=images["path"].map(files["refused"])).sort_values("item_id").groupby("reason")
    return {
        "distinct": len(distinct),
        "shared_by_items": {"images": len(shared), "items": int(shared.sum())},
        "lookalikes": describe_lookalikes(distinct.index.tolist(), hashes, EXAMPLES),
        "enlarged": int((short < cfg.store_size).sum()),
        "cropped": int((long > cfg.max_aspect_ratio * short).sum()),
        "refused": {
            reason: {"count": len(ids), "examples": ids.tolist()[:EXAMPLES]} for reason, ids in reasons["item_id"]
        },
    }


def render_report(report: Mapping[str, Any], cfg: DatasetConfig) -> str:
    """The report as Markdown: Table 2, ours beside the paper's where the dataset is the paper's, and all counts."""
    lines = [f"# {cfg.name}", "", "| Table 2 | here | paper |" if cfg.paper else "| Table 2 | here |"]
    lines.append("|---|---:|---:|" if cfg.paper else "|---|---:|")
    for header, *cells in table_2(report["statistics"], cfg.paper):
        lines.append(f"| {header} | " + " | ".join(cells if cfg.paper else cells[:1]) + " |")
    for title in ("statistics", "read", "dropped", "items", "images", "labels", "notes", "downloads"):
        if report.get(title):
            content = yaml.safe_dump(report[title], sort_keys=False, allow_unicode=True)
            lines += ["", f"## {title.capitalize()}", "", "```yaml", content.rstrip(), "```"]
    return "\n".join(lines) + "\n"


def table_2(statistics: Mapping[str, float], paper: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """The rows of the paper's Table 2 as they are printed: name, value here, the paper's or nothing."""
    return [(header, _number(statistics.get(key)), _number(paper.get(key))) for key, header in TABLE_2.items()]


def _number(value: float | None) -> str:
    return "" if value is None else f"{int(value):,}" if float(value).is_integer() else f"{value:.3g}"


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
