"""Which runs there are to evaluate, and which of them are compared with each other."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from src.artifacts import RESULTS_FILE, load_yaml
from src.errors import ArtifactError

_log = logging.getLogger(__name__)

# Order of rows: the paper's Table 5, what goes beyond it, then controls; others follow by name.
_METHOD_ORDER = (
    *("image_only", "sequential", "contrastive", "mtl_uniform", "mtl_interaction", "mtl_loss"),
    *("cf_distill", "distill_both", "distill_soft", "distill_certain", "distill_popular"),
    *("mtl_distill", "mtl_expected", "mtl_learned"),
    *("mtl_shuffled", "mtl_random", "distill_shuffled", "pseudo_label"),
)


@dataclass(frozen=True)
class RunRecord:
    """One predicted run, as the predict stage lists it; null fields do not apply to its method."""

    run: str
    method: str
    backbone: str
    image_size: int
    label_ratio: float
    alpha: float | None
    distill_lambda: float | None
    recommender: str | None
    fold: int
    seed: int
    study: str


class Setting(NamedTuple):
    """What methods must share to be compared."""

    backbone: str
    image_size: int
    label_ratio: float

    @property
    def slug(self) -> str:
        """A file-name part such as ``resnet18_64px_ratio0.2``."""
        safe = "".join(c if c.isalnum() or c in "-." else "-" for c in self.backbone)
        return f"{safe}_{self.image_size}px_ratio{self.label_ratio:g}"

    @property
    def title(self) -> str:
        """A caption part such as ``resnet18, 64 px, label ratio 0.2``."""
        return f"{self.backbone}, {self.image_size} px, label ratio {self.label_ratio:g}"


@dataclass(frozen=True)
class MethodRuns:
    """One row of a table: the runs of a method in a setting, by fold and seed."""

    name: str
    method: str
    runs: dict[tuple[int, int], RunRecord]


def load_run_records(dataset_dir: Path, study: str) -> list[RunRecord]:
    """Read the list of predicted runs of one study.

    Raises:
        ArtifactError: The list is missing, malformed, or has no run of the study; the message names the command to run.
    """
    path = dataset_dir / RESULTS_FILE
    command = f"python main_predict_testset.py dataset={dataset_dir.name}"
    if not path.is_file():
        raise ArtifactError(f"Nothing to evaluate: {path} does not exist; run `{command} study={study}` first.")
    content = load_yaml(path)
    if not isinstance(content, dict) or not isinstance(content.get("runs"), list):
        raise ArtifactError(f"{path} should be a mapping with a list `runs`; write it again with `{command}`.")
    records = [_parse(entry, path, command) for entry in content["runs"]]
    chosen = [record for record in records if record.study == study]
    if not chosen:
        known = ", ".join(sorted({record.study for record in records})) or "none"
        raise ArtifactError(
            f"Nothing to evaluate: {path} lists no run of study {study!r} (studies there: {known}); train some, then "
            f"run `{command} study={study}`."
        )
    return chosen


def group_by_setting(records: Sequence[RunRecord], baseline: str) -> dict[Setting, list[MethodRuns]]:
    """Arrange runs into settings and, within each, into the rows of a table, the baseline first.

    A method that occurs with several values of alpha, lambda or recommender gives one row for each, named by what
    differs. The baseline uses none of these, so all its runs are one row.

    Raises:
        ArtifactError: Two runs of one row have the same fold and seed.
    """
    settings: dict[Setting, dict[str, list[RunRecord]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        setting = Setting(record.backbone, record.image_size, record.label_ratio)
        settings[setting][record.method].append(record)
    return {
        setting: [
            MethodRuns(name, method, _by_fold_and_seed(name, setting, runs))
            for method in sorted(methods, key=lambda method: (method != baseline, _place(method), method))
            for name, runs in _split_variants(method, methods[method], method == baseline)
        ]
        for setting, methods in sorted(settings.items())
    }


def common_pairs(row: MethodRuns, baseline: MethodRuns, setting: Setting) -> tuple[list[tuple[int, int]], int]:
    """Find the (fold, seed) pairs that both rows have; warns about the others.

    Returns:
        The common pairs in order, and how many pairs only one of the two has.
    """
    common = sorted(row.runs.keys() & baseline.runs.keys())
    unpaired = sorted(row.runs.keys() ^ baseline.runs.keys())
    if unpaired:
        _log.warning(
            "%s: %s and %s are compared on %d (fold, seed) pairs; %d that only one of them has are left out of the "
            "difference: %s. Train and predict these to use them.",
            *(setting.title, row.name, baseline.name, len(common), len(unpaired), unpaired),
        )
    return common, len(unpaired)


def _place(method: str) -> int:
    return _METHOD_ORDER.index(method) if method in _METHOD_ORDER else len(_METHOD_ORDER)


def _parse(entry: Any, path: Path, command: str) -> RunRecord:
    expected = {field.name for field in fields(RunRecord)}
    given = set(entry) if isinstance(entry, dict) else set()
    if not expected <= given:
        raise ArtifactError(
            f"{path} has a run without {', '.join(sorted(expected - given))}; write it again with `{command}`."
        )
    return RunRecord(**{name: entry[name] for name in expected})


def _split_variants(method: str, runs: list[RunRecord], is_baseline: bool) -> list[tuple[str, list[RunRecord]]]:
    """Split a method's runs by alpha, lambda and recommender, naming only those that take several values."""
    if is_baseline:
        return [(method, runs)]
    labels = {"alpha": "alpha", "distill_lambda": "lambda", "recommender": "recommender"}
    differing = [name for name in labels if len({getattr(run, name) for run in runs}) > 1]
    if not differing:
        return [(method, runs)]
    variants: dict[tuple[Any, ...], list[RunRecord]] = defaultdict(list)
    for run in runs:
        variants[tuple(getattr(run, name) for name in differing)].append(run)
    ordered = sorted(
        variants, key=lambda values: [(v is not None, v if isinstance(v, str) else v or 0) for v in values]
    )
    return [
        (
            f"{method} ({', '.join(f'{labels[n]}={v}' for n, v in zip(differing, values, strict=True))})",
            variants[values],
        )
        for values in ordered
    ]


def _by_fold_and_seed(name: str, setting: Setting, runs: list[RunRecord]) -> dict[tuple[int, int], RunRecord]:
    found: dict[tuple[int, int], RunRecord] = {}
    for record in sorted(runs, key=lambda run: (run.fold, run.seed, run.run)):
        key = (record.fold, record.seed)
        if key in found:
            raise ArtifactError(
                f"{setting.title}: expected one run of {name} for fold {key[0]} and seed {key[1]}, but got "
                f"{found[key].run} and {record.run}; give one of them another study=, or delete the stale one, and "
                "predict again."
            )
        found[key] = record
    return found
