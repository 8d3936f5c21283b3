"""The table of labels saved."""

from collections.abc import Sequence

from src.evaluation.statistics.labels_saved import LabelsSaved
from src.evaluation.tables.format import Column, Row, number, span

NOTE = (
    "Equals: label ratio at which {baseline} has the same mAP, on its curve over this table's label ratios, linear in "
    "their logarithm; times: that ratio over the method's. A value on the first or last ratio may lie beyond it. "
    "Interval: bootstrap over image groups, the same draws for the method and the curve."
)


def labels_saved_rows(saved: Sequence[LabelsSaved]) -> list[Row]:
    """One row a method and label ratio."""
    return [
        {
            "method": entry.method,
            "label_ratio": entry.label_ratio,
            "equals": entry.equals,
            "equals_low": entry.low,
            "equals_high": entry.high,
            "times": entry.equals / entry.label_ratio,
        }
        for entry in saved
    ]


def labels_saved_columns(level: float) -> list[Column]:
    """The printed columns."""
    return [
        Column("method", lambda row: str(row["method"]), numeric=False),
        Column("label ratio", lambda row: f"{row['label_ratio']:g}"),
        Column("equals", lambda row: number(row["equals"])),
        Column(f"{100 * level:g} % interval", lambda row: span(row["equals_low"], row["equals_high"]), below=True),
        Column("times", lambda row: number(row["times"], digits=1)),
    ]
