"""Which runs of an experiment exist, and how long the others will take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from src.artifacts import MANIFEST_FILE, PREPARED
from src.config.setting import settings_of
from src.config.stages import ClassifierTrainingConfig
from src.data.folds import open_fold
from src.experiments.steps import Cell, Step
from src.files import load_json
from src.runs import Run

FINISHED, BEGUN, MISSING = "finished", "begun", "missing"
COSTLY = [name for name, declared in settings_of(ClassifierTrainingConfig).items() if declared.costs_time]


@dataclass(frozen=True)
class Surveyed:
    """A cell, its runs, whether they exist or not, and its state.

    Attributes:
        state: Finished if all its runs are, missing if none exists.
        seconds: Estimated time of its unfinished runs together, by the median of finished runs like them; None without
            such runs.
    """

    cell: Cell
    runs: list[Run]
    state: str
    seconds: float | None


def survey(steps: Sequence[Step]) -> list[list[Surveyed]]:
    """Look for the runs of each step's cells, in the order of ``steps``.

    Raises:
        ArtifactError: The dataset is not prepared.
    """
    open_once, durations = cache(open_fold), cache(_durations)

    def examine(cell: Cell) -> Surveyed:
        cfg = cell.config
        prepared = Path(cfg.outputs_dir) / cfg.dataset.name / PREPARED
        runs = cell.runs(open_once(prepared, cfg.fold, tuple(cfg.leaks)))
        to_do = [run for run in runs if not run.finished]
        if not to_do:
            return Surveyed(cell, runs, FINISHED, 0.0)
        estimates = [_estimate(run, durations) for run in to_do]
        known = [seconds for seconds in estimates if seconds is not None]
        state = BEGUN if any(run.directory.exists() for run in runs) else MISSING
        return Surveyed(cell, runs, state, sum(known) if len(known) == len(estimates) else None)

    return [[examine(cell) for cell in step.cells] for step in steps]


def _estimate(run: Run, durations: Any) -> float | None:
    """Median time of finished runs of the same method and cost, or else of other methods of the same cost."""
    cost = _cost(run.settings)
    for folders in ([run.parent], sorted(run.parent.parent.glob("*")) if cost else []):
        like = [seconds for folder in folders for other, seconds in durations(folder) if other == cost]
        if like:
            return median(like)
    return None


def _durations(parent: Path) -> list[tuple[str | None, float]]:
    """Cost and seconds of each finished run below ``parent``."""
    manifests = [load_json(path) for path in sorted(parent.glob(f"*/{MANIFEST_FILE}"))]
    return [(_cost(manifest["definition"]["settings"]), manifest["wall_clock_s"]) for manifest in manifests]


def _cost(settings: Mapping[str, Any]) -> str | None:
    """The settings that a fine-tuning run's time depends on; None for other runs, which differ little in a folder."""
    return str([settings[name] for name in COSTLY]) if set(COSTLY) <= set(settings) else None
