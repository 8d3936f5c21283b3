"""The report as one self-contained HTML page: figures and images are inside, nothing is loaded from anywhere."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from src.artifacts import MANIFEST_FILE, PREPARED, REPORT_FILE
from src.data.preparation.report import table_2
from src.evaluation.report.examples import Picture, Thumbnails, cf_neighbours, label_issues
from src.evaluation.tables.format import Column, Row
from src.files import load_json, save_text

PAGE = "report.html"


class Evaluated(NamedTuple):
    """All numbers of a dataset, the tables as Markdown, and what the page shows of it, if anything."""

    numbers: dict[str, Any]
    text: str
    page: dict[str, Any] | None = None


class PageSetting(NamedTuple):
    """What the page shows of one setting: its verdict, rendered tables, how to read them, gains, and pictures."""

    title: str
    slug: str
    verdict: str
    tables: Sequence[dict[str, Any]]
    notes: Sequence[str]
    classes: dict[str, Any] | None = None
    pictures: Sequence[tuple[str, Sequence[Picture]]] = ()


def rendered_table(rows: Sequence[Row], columns: Sequence[Column]) -> dict[str, Any]:
    """Header and cells as they are printed, and which columns stand below the one before."""
    cells = [[c.render(row) for c in columns] for row in rows]
    return {"header": [c.header for c in columns], "below": [c.below for c in columns], "rows": cells}


def describe_dataset(
    dataset_dir: Path,
    stems: Sequence[Path],
    settings: list[PageSetting],
    thumbnails: Thumbnails | None,
    labels_saved: Sequence[dict[str, Any]] = (),
    dots: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Gather what the page shows of a dataset, by the names that the template uses, also in ``settings``.

    The first setting's verdict comes first, with ``dots``. ``stems`` are the figures, paths without ending;
    ``labels_saved`` are rendered tables. ``thumbnails``: None without prepared data; the page then has no statistics,
    CF neighbours or label issues.
    """
    curves = {s.slug: [_embed(stem) for stem in stems if stem.name == f"learning_curves_{s.slug}"] for s in settings}
    figures = [_embed(stem) for stem in stems if stem.name.startswith(("mAP_", "labels_saved_"))]
    page: dict[str, Any] = {"name": dataset_dir.name, "settings": settings, "figures": figures, "curves": curves}
    page |= {"labels_saved": labels_saved, "dots": dots}
    if thumbnails is None:
        return page
    prepared = dataset_dir / PREPARED
    paper = load_json(prepared / MANIFEST_FILE)["config"]["dataset"]["paper"]
    vectors, neighbours = cf_neighbours(dataset_dir, thumbnails)
    return page | {
        "statistics": table_2(load_json(prepared / REPORT_FILE)["statistics"], paper),
        "paper": bool(paper),
        "figures": [*(_embed(path.with_suffix("")) for path in sorted(prepared.glob("*.png"))), *figures],
        "vectors": vectors,
        "neighbours": neighbours,
        "issues": label_issues(dataset_dir, thumbnails),
    }


def save_page(path: Path, title: str, datasets: Sequence[dict[str, Any]]) -> None:
    """Write the page; equal content gives equal bytes."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    save_text(path, environment.get_template("report.html.j2").render(title=title, datasets=datasets))


def _embed(stem: Path) -> dict[str, str]:
    png = base64.b64encode((stem.parent / f"{stem.name}.png").read_bytes()).decode()
    return {"title": stem.name.replace("_", " "), "source": f"data:image/png;base64,{png}"}
