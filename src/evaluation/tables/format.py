"""Tables of methods as CSV (all digits), Markdown and LaTeX (rounded)."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeGuard

import numpy as np
import pandas as pd

from src.artifacts import MANIFEST_FILE, PREPARED
from src.config.datasets import TIME
from src.evaluation.statistics.comparison import MethodResult
from src.evaluation.statistics.metrics import MEASURES
from src.files import load_json, save_text

Row = dict[str, str | float | int | None]

BASELINE = "image_only"
"""Method that the paper compares with."""

_MINUS = "\N{MINUS SIGN}"
_LATEX = str.maketrans(
    {char: f"\\{char}" for char in "&%$#_{}"}
    | {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    | {_MINUS: "$-$", "<": "$<$", ">": "$>$", "±": "$\\pm$"}
)


def dataset_title(dataset_dir: Path) -> str:
    """A dataset's name for captions, and that it is split by time where it is."""
    manifest = dataset_dir / PREPARED / MANIFEST_FILE
    by_time = manifest.is_file() and load_json(manifest).get("split") == TIME
    note = " (one fold, split by time: the test items are those met last)" if by_time else ""
    return f"{dataset_dir.name}{note}"


@dataclass(frozen=True)
class Column:
    """A printed column: its header, how a row's numbers become its text, and whether a page shows it below another."""

    header: str
    render: Callable[[Row], str]
    numeric: bool = True
    below: bool = False


def build_row(result: MethodResult, paper: Mapping[str, float] = MappingProxyType({})) -> Row:
    """Flatten a result to the columns of the CSV file, None where there is no value; ``paper`` has Table 5's mAP."""
    estimate, contrast = result.mean_average_precision, result.contrast
    difference, t_test = (contrast.difference, contrast.t_test) if contrast else (None, None)
    row: Row = {
        "method": result.name,
        "mAP": estimate.value,
        "mAP_low": estimate.low,
        "mAP_high": estimate.high,
        "difference": difference.value if difference else None,
        "difference_percent": 100 * (contrast.difference.value / contrast.baseline) if contrast else None,
        "difference_low": difference.low if difference else None,
        "difference_high": difference.high if difference else None,
        "standard_error": difference.standard_error if difference else None,
        "p_randomization": contrast.p_randomization if contrast else None,
        "p_randomization_holm": contrast.p_randomization_holm if contrast else None,
        "p_t_test": t_test.p_value if t_test else None,
        "p_t_test_holm": contrast.p_t_test_holm if contrast else None,
        "t_test_unit": t_test.unit if t_test else None,
        "significant": contrast.significant if contrast else None,
        "smallest_detectable": difference.smallest_detectable if difference else None,
        "p_equivalence": contrast.equivalence.p_value if contrast else None,
        "smallest_margin_percent": _percent(contrast.equivalence.smallest_margin) if contrast else None,
        "n_folds": result.n_folds,
        "n_seeds": result.n_seeds,
        "n_pairs": contrast.n_pairs if contrast else None,
        "n_unpaired": contrast.n_unpaired if contrast else None,
        "n_classes": len(result.labels),
        "n_classes_excluded": result.n_classes_excluded,
    }
    if result.name in paper:
        row["paper_mAP"] = paper[result.name]
        row["paper_percent"] = 100 * (paper[result.name] / paper[BASELINE] - 1) if result.name != BASELINE else None
    return row | {name: result.secondary[name] for name in MEASURES if name in result.secondary}


def columns_of(rows: Sequence[Row]) -> tuple[list[Column], list[Column]]:
    """Choose the printed columns: the comparison, and the other measures."""
    comparison = [
        Column("method", lambda row: str(row["method"]), numeric=False),
        Column("mAP", lambda row: number(row["mAP"])),
        Column("95 % interval", lambda row: span(row["mAP_low"], row["mAP_high"]), below=True),
        Column("difference", lambda row: number(row["difference"], signed=True)),
        Column("%", lambda row: number(row["difference_percent"], digits=1, signed=True), below=True),
        Column("its 95 % interval", lambda row: span(row["difference_low"], row["difference_high"], True), below=True),
        Column("p rand.", lambda row: p_value(row["p_randomization"])),
        Column("Holm", lambda row: p_value(row["p_randomization_holm"]), below=True),
        Column("p t-test", lambda row: p_value(row["p_t_test"])),
        Column("Holm", lambda row: p_value(row["p_t_test_holm"]), below=True),
        Column("significant", lambda row: str(row["significant"] or "")),
        Column("detectable", lambda row: number(row["smallest_detectable"])),
        Column("p equal", lambda row: p_value(row["p_equivalence"])),
        Column("margin %", lambda row: number(row["smallest_margin_percent"], digits=1), below=True),
        Column("folds", lambda row: str(row["n_folds"])),
        Column("seeds", lambda row: str(row["n_seeds"]), below=True),
    ]
    if any("paper_mAP" in row for row in rows):
        comparison += [
            Column("paper mAP", lambda row: number(row.get("paper_mAP"))),
            Column("paper %", lambda row: number(row.get("paper_percent"), digits=1, signed=True), below=True),
        ]
    other = [comparison[0]]
    other += [
        Column(measure.header, lambda row, name=name: number(row.get(name)))  # type: ignore[misc]
        for name, measure in MEASURES.items()
        if any(name in row for row in rows)
    ]
    other += [
        Column("classes", lambda row: str(row["n_classes"])),
        Column("without positives", lambda row: str(row["n_classes_excluded"])),
    ]
    return comparison, other


def save_tables(
    stem: Path, caption: str, notes: Sequence[str], rows: Sequence[Row], printed: Sequence[Sequence[Column]]
) -> str:
    """Write ``stem`` with the endings .csv, .md and .tex; equal rows give equal bytes.

    The CSV has all of ``rows``, which share their keys; ``printed`` has the columns of each table in the other two.

    Returns:
        The Markdown text.
    """
    save_text(stem.parent / f"{stem.name}.csv", to_csv(rows))
    tables = [to_markdown(rows, columns) for columns in printed]
    markdown = "\n".join([f"# {caption}", "", *(f"{table}\n" for table in tables), *(f"- {note}" for note in notes)])
    save_text(stem.parent / f"{stem.name}.md", markdown + "\n")
    save_text(stem.parent / f"{stem.name}.tex", to_latex(rows, printed, caption, notes))
    return markdown + "\n"


def to_csv(rows: Sequence[Row] | pd.DataFrame) -> str:
    """Write rows as CSV with nine significant digits; an empty field means that the value does not exist."""
    table = pd.DataFrame(rows).replace([np.inf, -np.inf], np.nan)
    return table.to_csv(index=False, float_format="%.9g", lineterminator="\n")


def to_markdown(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """Write a pipe table, numbers aligned right."""
    lines = [[c.header for c in columns], ["---:" if c.numeric else "---" for c in columns]]
    lines += [[c.render(row).replace("|", "\\|") for c in columns] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def to_latex(rows: Sequence[Row], printed: Sequence[Sequence[Column]], caption: str, notes: Sequence[str]) -> str:
    """Write a ``table*`` for the packages booktabs and graphicx, ready to be included."""
    lines = ["% \\usepackage{booktabs,graphicx}", "\\begin{table*}", "\\centering"]
    lines.append(f"\\caption{{{escape_latex(' '.join([caption + '.', *notes]))}}}")
    for columns in printed:
        lines.append("\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%")
        lines.append(f"\\begin{{tabular}}{{{''.join('r' if c.numeric else 'l' for c in columns)}}}")
        lines += ["\\toprule", " & ".join(escape_latex(c.header) for c in columns) + " \\\\", "\\midrule"]
        lines += [" & ".join(escape_latex(c.render(row)) for c in columns) + " \\\\" for row in rows]
        lines += ["\\bottomrule", "\\end{tabular}}", "\\par\\medskip"]
    return "\n".join([*lines[:-1], "\\end{table*}", ""])


def escape_latex(text: str) -> str:
    """Make text safe inside LaTeX: special characters are printed as they are, signed numbers get a minus sign."""
    return text.translate(_LATEX)


def number(value: str | float | None, digits: int = 3, signed: bool = False) -> str:
    """Round a number for print; a signed one shows + or a real minus sign."""
    if not _known(value):
        return ""
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    if float(text) == 0:
        text = f"{0:.{digits}f}"
    return text.replace("-", _MINUS)


def span(low: str | float | None, high: str | float | None, signed: bool = False) -> str:
    """Print an interval."""
    ends = f"[{number(low, signed=signed)}, {number(high, signed=signed)}]"
    return ends if _known(low) and _known(high) else ""


def p_value(value: str | float | None) -> str:
    """Print a p-value with as many digits as a reader can use."""
    if not _known(value):
        return ""
    return "<.0001" if value < 1e-4 else f"{value:.4f}".lstrip("0") if value < 1 else "1"


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _known(value: str | float | None) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and math.isfinite(value)
