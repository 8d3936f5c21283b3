"""The report as one self-contained HTML page: figures and images are inside, nothing is loaded from anywhere."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from src.artifacts import MANIFEST_FILE, PREPARED, REPORT_FILE
from src.data.preparation.report import table_2
from src.evaluation.report.examples import Picture, Thumbnails, cf_neighbours
from src.evaluation.tables.format import Column, Row
from src.files import load_json, save_text

PAGE = "report.html"


@dataclass(frozen=True)
class PageSetting:
    """What the page shows of one setting: rendered tables, how to read them, and pictures under headings."""

    title: str
    slug: str
    tables: Sequence[dict[str, Any]]
    notes: Sequence[str]
    pictures: Sequence[tuple[str, Sequence[Picture]]] = ()


@dataclass
class PageDataset:
    """What the page shows of one dataset."""

    name: str
    settings: list[PageSetting]
    figures: list[dict[str, str]]  # title, and the figure as a ``data:`` address
    curves: dict[str, list[dict[str, str]]]  # by the setting's slug
    statistics: list[tuple[str, str, str]] = field(default_factory=list)
    paper: bool = False
    vectors: str = ""
    neighbours: list[list[Picture]] = field(default_factory=list)


def rendered_table(rows: Sequence[Row], columns: Sequence[Column]) -> dict[str, Any]:
    """Header and cells as they are printed."""
    return {"header": [c.header for c in columns], "rows": [[c.render(row) for c in columns] for row in rows]}


def describe_dataset(
    dataset_dir: Path, stems: Sequence[Path], settings: list[PageSetting], thumbnails: Thumbnails | None
) -> PageDataset:
    """Gather what the page shows of a dataset.

    ``stems`` are the figures, paths without ending. ``thumbnails`` is None without prepared data; the page then has no
    statistics and no CF neighbours.
    """
    curves = {s.slug: [_embed(stem) for stem in stems if stem.name == f"learning_curves_{s.slug}"] for s in settings}
    figures = [_embed(stem) for stem in stems if stem.name.startswith("mAP_")]
    page = PageDataset(dataset_dir.name, settings, figures, curves)
    if thumbnails is None:
        return page
    prepared = dataset_dir / PREPARED
    paper = load_json(prepared / MANIFEST_FILE)["config"]["dataset"]["paper"]
    page.statistics, page.paper = table_2(load_json(prepared / REPORT_FILE)["statistics"], paper), bool(paper)
    page.figures = [_embed(path.with_suffix("")) for path in sorted(prepared.glob("*.png"))] + page.figures
    page.vectors, page.neighbours = cf_neighbours(dataset_dir, thumbnails)
    return page


def save_page(path: Path, title: str, datasets: Sequence[PageDataset]) -> None:
    """Write the page; equal content gives equal bytes."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    save_text(path, environment.get_template("report.html.j2").render(title=title, datasets=datasets))


def _embed(stem: Path) -> dict[str, str]:
    png = base64.b64encode((stem.parent / f"{stem.name}.png").read_bytes()).decode()
    return {"title": stem.name.replace("_", " "), "source": f"data:image/png;base64,{png}"}
