"""What there is of an experiment already, and how long the rest will take."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from src.artifacts import MANIFEST_FILE, PREPARED, load_json
from src.data.folds import open_fold
from src.experiments.steps import Cell, Located, Step
from src.runs import is_finished, run_directory

COSTLY = ("backbone", "image_size", "epochs", "batch_size", "unlabelled_batch_size", "precision")
"""Settings of fine-tuning that decide how long a run takes."""


class State(StrEnum):
    """How far a cell is."""

    FINISHED = "finished"
    BEGUN = "begun"
    MISSING = "missing"


@dataclass(frozen=True)
class Surveyed:
    """What there is of a cell.

    Attributes:
        cell: The cell.
        directories: Of its runs, there or not.
        state: Finished if all its runs are, missing if none exists.
        seconds: How long its unfinished runs take in all, by the median of finished runs like them; None where there
            are none to go by.
    """

    cell: Cell
    directories: list[Path]
    state: State
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
        located = cell.locate(open_once(prepared, cfg.fold, tuple(cfg.leaks)))
        directories = [run_directory(*run) for run in located]
        to_do = [run for run, directory in zip(located, directories, strict=True) if not is_finished(directory)]
        if not to_do:
            return Surveyed(cell, directories, State.FINISHED, 0.0)
        estimates = [_estimate(run, durations) for run in to_do]
        known = [seconds for seconds in estimates if seconds is not None]
        is_begun = any(directory.exists() for directory in directories)
        state = State.BEGUN if is_begun else State.MISSING
        return Surveyed(cell, directories, state, sum(known) if len(known) == len(estimates) else None)

    return [[examine(cell) for cell in step.cells] for step in steps]


def _estimate(run: Located, durations: Any) -> float | None:
    """Median time of finished runs of the same method and cost; failing these, of other methods of the same cost."""
    parent, _, definition = run
    cost = _cost(definition)
    same_method = [seconds for other, seconds in durations(parent) if other == cost]
    if same_method or cost is None:
        return median(same_method) if same_method else None
    others = [pair for folder in sorted(parent.parent.glob("*")) for pair in durations(folder)]
    like = [seconds for other, seconds in others if other == cost]
    return median(like) if like else None


def _durations(parent: Path) -> list[tuple[str | None, float]]:
    """Cost and seconds of each finished run below ``parent``."""
    manifests = [load_json(path) for path in sorted(parent.glob(f"*/{MANIFEST_FILE}"))]
    return [(_cost(manifest["definition"]), manifest["wall_clock_s"]) for manifest in manifests]


def _cost(definition: Any) -> str | None:
    """What decides how long a fine-tuning run takes; None for other runs, which differ little within their folder."""
    settings = definition["settings"]
    return str([settings[name] for name in COSTLY]) if set(COSTLY) <= set(settings) else None
