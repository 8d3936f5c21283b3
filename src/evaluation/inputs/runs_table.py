"""Which runs there are to evaluate, and which of them are compared with each other."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from src.artifacts import RESULTS_FILE, SEEN_HELD_OUT, RunRecord, load_records
from src.errors import ArtifactError

_log = logging.getLogger(__name__)

# Order of rows: the paper's Table 5, what goes beyond it, then controls; others follow by name.
_METHOD_ORDER = (
    *("image_only", "sequential", "contrastive", "mtl_uniform", "mtl_interaction", "mtl_loss"),
    *("cf_distill", "distill_prior", "distill_both"),
    *("mtl_shuffled", "mtl_random", "distill_shuffled", "prior_shuffled", "pseudo_label"),
)


class Setting(NamedTuple):
    """What methods must share to be compared."""

    backbone: str
    image_size: int
    label_ratio: float

    @property
    def slug(self) -> str:
        """A file-name part such as ``resnet18_64px_ratio0.2``."""
        return f"{self.network_slug}_ratio{self.label_ratio:g}"

    @property
    def network_slug(self) -> str:
        """A file-name part such as ``resnet18_64px``."""
        safe = "".join(c if c.isalnum() or c in "-." else "-" for c in self.backbone)
        return f"{safe}_{self.image_size}px"

    @property
    def title(self) -> str:
        """A caption part such as ``resnet18, 64 px, label ratio 0.2``."""
        return f"{self.network}, label ratio {self.label_ratio:g}"

    @property
    def network(self) -> str:
        """A caption part such as ``resnet18, 64 px``."""
        return f"{self.backbone}, {self.image_size} px"


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
    records = load_records(path)
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
            for method in sorted(methods, key=lambda name: (name != baseline, [*_METHOD_ORDER, name].index(name), name))
            for name, runs in _split_variants(method, methods[method], method == baseline).items()
        ]
        for setting, methods in sorted(settings.items())
    }


def common_pairs(row: MethodRuns, baseline: MethodRuns, setting: Setting) -> tuple[list[tuple[int, int]], int]:
    """The (fold, seed) pairs that both rows have, ascending, and how many only one of them has; warns about these."""
    common = sorted(row.runs.keys() & baseline.runs.keys())
    unpaired = sorted(row.runs.keys() ^ baseline.runs.keys())
    if unpaired:
        _log.warning(
            "%s: %s and %s are compared on %d (fold, seed) pairs; %d that only one of them has are left out of the "
            "difference: %s. Train and predict these to use them.",
            *(setting.title, row.name, baseline.name, len(common), len(unpaired), unpaired),
        )
    return common, len(unpaired)


def _split_variants(method: str, runs: list[RunRecord], is_baseline: bool) -> dict[str, list[RunRecord]]:
    """Split a method's runs by alpha, lambda and recommender.

    Their names have what takes several values, and a recommender that has seen held-out items' users.
    """
    labels = {"alpha": "alpha", "distill_lambda": "lambda", "recommender": "recommender"}
    values = {} if is_baseline else {name: {getattr(run, name) for run in runs} for name in labels}
    differing = [name for name, found in values.items() if len(found) > 1 or SEEN_HELD_OUT in str(found)]

    def place(run: RunRecord) -> list[Any]:
        return [(getattr(run, name) is not None, getattr(run, name) or 0) for name in differing]

    variants = defaultdict(list)
    for run in sorted(runs, key=place):
        shown = ", ".join(f"{labels[name]}={getattr(run, name)}" for name in differing)
        variants[f"{method} ({shown})" if shown else method].append(run)
    return variants


def _by_fold_and_seed(name: str, setting: Setting, runs: list[RunRecord]) -> dict[tuple[int, int], RunRecord]:
    found: dict[tuple[int, int], RunRecord] = {}
    for record in sorted(runs, key=lambda run: (run.fold, run.seed, run.run)):
        first = found.setdefault((record.fold, record.seed), record)
        if first is not record:
            raise ArtifactError(
                f"{setting.title}: expected one run of {name} for fold {record.fold} and seed {record.seed}, but got "
                f"{first.run} and {record.run}; give one another study=, or delete the stale one, and predict again."
            )
    return found
