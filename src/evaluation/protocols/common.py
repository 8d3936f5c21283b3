"""What every protocol takes and returns."""

from pathlib import Path
from typing import Any, NamedTuple

from src.config.stages import EvaluateConfig
from src.evaluation.inputs.aligned import AlignedPredictions
from src.evaluation.inputs.runs_table import MethodRuns, Setting
from src.evaluation.report.page import PageDataset


class StudyRuns(NamedTuple):
    """The predicted runs of one study on one dataset: the rows of each setting's table; ``folder`` is written to."""

    cfg: EvaluateConfig
    dataset_dir: Path
    folder: Path
    grouped: dict[Setting, list[MethodRuns]]
    predictions: AlignedPredictions


class Evaluated(NamedTuple):
    """All numbers, the tables as Markdown, and what an HTML page shows, if anything."""

    numbers: dict[str, Any]
    text: str
    page: PageDataset | None = None
