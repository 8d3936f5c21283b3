"""The report of a prepared dataset: the paper's Table 2, and everything that was kept, merged or dropped, and why."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from src.config.datasets import DatasetConfig
from src.data.images.duplicates import describe_lookalikes
from src.data.images.store import Contents

EXAMPLES = 20  # ids listed for each reason

TABLE_2 = {
    "images": "Images",
    "interactions": "Interactions",
    "users": "Users",
    "sparsity": "Sparsity",
    "labels": "Labels",
    "average_positive_labels": "Avg. pos. labels",
    "gini_index": "Gini index",
}


def describe_items(items: pd.DataFrame, users_of_item: np.ndarray, named: int, refused: int) -> dict[str, int]:
    """Items that lack something, and why those without image have none."""
    labels = items["labels"]
    return {
        "whose_image_is_not_named": len(items) - named,
        "whose_image_was_refused": refused,
        "with_unknown_labels": int(labels.isna().sum()),
        "known_to_have_no_label": int((labels.map(len, na_action="ignore") == 0).sum()),
        "without_interactions": int((users_of_item == 0).sum()),
    }


def describe_images(paths: Mapping[str, str], contents: Contents, cfg: DatasetConfig) -> dict[str, Any]:
    """Images that repeat, look alike, or had to be changed to be stored; ``paths`` by item."""
    items_of = Counter(contents.digests[path] for path in paths.values() if path in contents.digests)
    shared = {digest: count for digest, count in items_of.items() if count > 1}
    digests = sorted(contents.hashes)
    name = {digest: path for path, digest in sorted(contents.digests.items(), reverse=True)}
    hashes = np.array([contents.hashes[digest] for digest in digests], dtype=np.uint64)
    sizes = list(contents.sizes.values())
    return {
        "distinct": len(digests),
        "shared_by_items": {"images": len(shared), "items": sum(shared.values())},
        "lookalikes": describe_lookalikes([name[digest] for digest in digests], hashes, EXAMPLES),
        "enlarged": sum(min(size) < cfg.store_size for size in sizes),
        "cropped": sum(max(size) > cfg.max_aspect_ratio * min(size) for size in sizes),
        "refused": _by_reason(
            {item: contents.refused[path] for item, path in paths.items() if path in contents.refused}
        ),
    }


def render_report(report: Mapping[str, Any], cfg: DatasetConfig) -> str:
    """The report as Markdown: Table 2, ours beside the paper's where the dataset is the paper's, and all counts."""
    lines = [f"# {cfg.name}", "", "| Table 2 | here | paper |" if cfg.paper else "| Table 2 | here |"]
    lines.append("|---|---:|---:|" if cfg.paper else "|---|---:|")
    for header, *cells in table_2(report["statistics"], cfg.paper):
        lines.append(f"| {header} | " + " | ".join(cells if cfg.paper else cells[:1]) + " |")
    for title in ("statistics", "read", "dropped", "items", "images", "labels", "notes", "downloads"):
        if report.get(title):
            lines += ["", f"## {title.capitalize()}", ""]
            lines += _bullets(report[title])
    return "\n".join(lines) + "\n"


def table_2(statistics: Mapping[str, float], paper: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """The rows of the paper's Table 2 as they are printed: name, value here, the paper's or nothing."""

    def cell(values: Mapping[str, float], key: str) -> str:
        return "" if values.get(key) is None else _number(values[key])

    return [(header, cell(statistics, key), cell(paper, key)) for key, header in TABLE_2.items()]


def _bullets(entries: Mapping[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, value in entries.items():
        name = " ".join(str(key).replace("_", " ").split())
        if isinstance(value, dict):
            lines.append(f"{indent}- {name}{':' if value else ': none'}")
            lines += _bullets(value, indent + "  ")
        elif isinstance(value, list):
            lines.append(f"{indent}- {name}: " + (", ".join(map(str, value)) or "none"))
        else:
            lines.append(f"{indent}- {name}: " + (_number(value) if isinstance(value, (int, float)) else str(value)))
    return lines


def _number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value:.3g}"


def _by_reason(refused: Mapping[str, str]) -> dict[str, Any]:
    grouped: dict[str, list[str]] = {}
    for item_id, reason in sorted(refused.items()):
        grouped.setdefault(reason, []).append(item_id)
    return {reason: {"count": len(ids), "examples": ids[:EXAMPLES]} for reason, ids in sorted(grouped.items())}
