"""Formats and escaping of tables."""

import pytest

from src.evaluation.tables.format import (
    Column,
    escape_latex,
    number,
    p_value,
    save_tables,
    span,
    to_csv,
    to_latex,
    to_markdown,
)

COLUMNS = [Column("method", lambda row: str(row["method"]), numeric=False), Column("%", lambda row: number(row["x"]))]
ROWS = [{"method": "a_b", "x": 0.12345678912}, {"method": "c|d & 5%", "x": None}]


@pytest.mark.parametrize(
    ("value", "options", "text"),
    [
        (0.12345, {}, "0.123"),
        (0.5, {"signed": True}, "+0.500"),
        (-0.5, {"signed": True}, "\N{MINUS SIGN}0.500"),
        (-0.00001, {"signed": True}, "0.000"),
        (12.34, {"digits": 1, "signed": True}, "+12.3"),
        (None, {}, ""),
        (float("nan"), {}, ""),
    ],
)
def test_numbers(value, options, text):
    assert number(value, **options) == text


def test_p_values_and_intervals():
    assert [p_value(p) for p in (0.00009, 0.0001, 0.04996, 1.0, None)] == ["<.0001", ".0001", ".0500", "1", ""]
    assert span(-0.1, 0.2, signed=True) == "[\N{MINUS SIGN}0.100, +0.200]"
    assert span(None, None) == ""


def test_csv_keeps_digits_and_leaves_missing_empty():
    assert to_csv(ROWS) == "method,x\na_b,0.123456789\nc|d & 5%,\n"


def test_markdown_aligns_and_escapes():
    assert to_markdown(ROWS, COLUMNS).splitlines() == [
        "| method | % |",
        "| --- | ---: |",
        "| a_b | 0.123 |",
        "| c\\|d & 5% |  |",
    ]


def test_latex_is_escaped_and_uses_booktabs():
    text = to_latex(ROWS, [COLUMNS], "50 % of a_b", ["p < .05"])
    assert "\\caption{50 \\% of a\\_b. p $<$ .05}" in text
    assert "\\begin{tabular}{lr}\n\\toprule\nmethod & \\% \\\\\n\\midrule\na\\_b & 0.123 \\\\" in text
    assert "c|d \\& 5\\% &  \\\\\n\\bottomrule" in text
    assert text.count("{") == text.count("}")
    assert escape_latex("\\~^#${}") == ("\\textbackslash{}\\textasciitilde{}\\textasciicircum{}\\#\\$\\{\\}")


def test_three_files_are_written(tmp_path):
    markdown = save_tables(tmp_path / "table_ratio0.1", "Caption", ["A note."], ROWS, [COLUMNS])
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"table_ratio0.1.{e}" for e in ("csv", "md", "tex")]
    assert markdown == (tmp_path / "table_ratio0.1.md").read_text()
    assert markdown.startswith("# Caption\n\n| method")
    assert markdown.endswith("- A note.\n")
