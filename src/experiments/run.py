"""An experiment from its command line to its tables; Hydra's launchers start the runs."""

import logging
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence

import pandas as pd
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.artifacts import (
    EVALUATION_DIR,
    MANIFEST_FILE,
    METRICS_FILE,
    PRECHECK_FILE,
    PREPARED,
    REPORT_TEXT,
    SEEN_HELD_OUT,
)
from src.classifiers.settings import IMAGE_ONLY
from src.config.overrides import PRESET
from src.config.stages import ExperimentConfig, RecommenderTrainingConfig
from src.entry import compose_config, describe_preset, with_preset
from src.errors import ConfigError
from src.evaluation.tables.cf_models import save_cf_tables
from src.evaluation.tables.format import dataset_title
from src.experiments.overrides import SortedOverrides, sort_overrides
from src.experiments.plan import build_steps
from src.experiments.steps import Step
from src.experiments.survey import FINISHED, Surveyed, survey
from src.files import PROJECT, load_json
from src.recommenders.run import dataset_dir, table_name

logger = logging.getLogger(__name__)


def run_experiment(arguments: Sequence[str], *, dry_run: bool = False) -> int:
    """Run what is missing of an experiment and print its tables.

    The dataset is prepared first. Each step is one Hydra multirun, in sequence or as the launcher has it. The other
    cells run even if one fails. With ``dry_run`` the cells, their states and estimated times are only shown.

    Returns:
        Exit status: 0, or 1 where a cell or a stage failed.

    Raises:
        ConfigError: An override is unknown or has a wrong value.
        ArtifactError: With ``dry_run``, the dataset is not prepared.
    """
    cfg, overrides = compose_experiment(arguments)
    if not dry_run and not _call("prepare_dataset", overrides.stages["prepare_dataset"]):
        return 1
    steps = build_steps(cfg, overrides)
    surveyed = survey(steps)
    print(describe(cfg, overrides, steps, surveyed, every_cell=dry_run))
    if dry_run:
        return 0
    for step, cells in zip(steps, surveyed, strict=True):
        if cfg.tune or any(cell.state != FINISHED for cell in cells):
            _call(step.stage, ["--multirun", *step.arguments, *overrides.launcher])
    surveyed = survey(steps)
    reported = _report(cfg, overrides, surveyed)
    failed = [cell for cells in surveyed for cell in cells if cell.state != FINISHED]
    if failed:
        listed = "\n".join(f"  {' '.join(cell.cell.overrides)}: {cell.state}" for cell in failed)
        logger.error(
            "%d of %d cells did not finish; see their messages above, and give the same command to try again:\n%s",
            *(len(failed), sum(map(len, surveyed)), listed),
        )
    return 0 if reported and not failed else 1


def compose_experiment(arguments: Sequence[str]) -> tuple[ExperimentConfig, SortedOverrides]:
    """The experiment's lists, and the overrides of every stage: the experiment's own, then those given."""
    given = sort_overrides(arguments)
    names = [override for override in given.own if override.startswith("experiment=")]
    composed: ExperimentConfig = compose_config("run_experiment", names)
    lists = [override for override in given.own if override not in names]
    try:
        # Not through Hydra, which takes dataset=... as the choice of a config group.
        merged = OmegaConf.merge(OmegaConf.structured(composed), OmegaConf.from_dotlist(lists))
    except OmegaConfBaseException as error:
        raise ConfigError(f"The experiment cannot take {' '.join(lists)}: {error}") from error
    cfg: ExperimentConfig = OmegaConf.to_object(merged)  # type: ignore[assignment]
    for name in ("folds", "seeds", "label_ratios"):
        if not getattr(cfg, name):
            raise ConfigError(f"{name} should list at least one value, but is empty; give, for example, {name}=[0].")
    overrides = sort_overrides([*cfg.overrides, *arguments])
    for stage, own in overrides.stages.items():
        own.insert(0, f"dataset={cfg.dataset}")
        if stage in ("train_classifier", "predict_testset", "evaluate_methods"):
            own.append(f"study={cfg.study}")
    classifier = overrides.stages["train_classifier"]
    classifier[:] = [*with_preset(classifier), f"tune={cfg.tune}"]
    return cfg, overrides


def describe(
    cfg: ExperimentConfig,
    overrides: SortedOverrides,
    steps: Sequence[Step],
    surveyed: Sequence[Sequence[Surveyed]],
    *,
    every_cell: bool,
) -> str:
    """The state of each step, and with ``every_cell`` each cell that is not finished, as text."""
    lines = [f"{cfg.title} ({cfg.dataset})"]
    presets = [text for text in overrides.stages["train_classifier"] if text.startswith(f"{PRESET}=")]
    if cfg.methods and presets and presets[0] != f"{PRESET}=null":
        lines.append(describe_preset(presets[0].removeprefix(f"{PRESET}=")))
    for step, cells in zip(steps, surveyed, strict=True):
        counts = ", ".join(f"{n} {state}" for state, n in Counter(cell.state for cell in cells).items())
        lines.append(f"{step.title}: {counts}{_duration(cells)}")
        if every_cell:
            to_do = [cell for cell in cells if cell.state != FINISHED]
            lines += [f"  {' '.join(cell.cell.overrides)}: {cell.state}{_duration([cell])}" for cell in to_do]
    everything = [cell for cells in surveyed for cell in cells]
    lines.append(f"All: {len(everything)} cells{_duration(everything) or ', nothing to do'}")
    return "\n".join(lines)


def _duration(cells: Sequence[Surveyed]) -> str:
    to_do = [cell for cell in cells if cell.state != FINISHED]
    known = [cell.seconds for cell in to_do if cell.seconds is not None]
    parts = [f"about {sum(known) / 60:.0f} min in one process"] if known else []
    if len(known) < len(to_do):
        parts.append(f"no estimate for {len(to_do) - len(known)}" if len(to_do) > 1 else "no estimate")
    return "".join(f", {part}" for part in parts)


def _report(cfg: ExperimentConfig, overrides: SortedOverrides, surveyed: Sequence[Sequence[Surveyed]]) -> bool:
    """Print and write the tables of what has finished; whether it could be done."""
    if cfg.recommenders and not cfg.tune:
        print(_compare_cf_models([cell for cells in surveyed for cell in cells], cfg.recommenders))
    if not cfg.methods or cfg.tune:
        return True
    if IMAGE_ONLY not in cfg.methods:
        logger.info("No differences: methods has no image_only, which the others are compared with.")
    return _call("predict_testset", overrides.stages["predict_testset"]) and _call(
        "evaluate_methods", overrides.stages["evaluate_methods"]
    )


def _compare_cf_models(surveyed: Sequence[Surveyed], models: Sequence[str]) -> str:
    """Write and return the tables of the finished fits of ``models``, in their order, apart for what they have seen.

    Table 2 comes first. CF2Label also has the mAP of constant scores (popularity) and of vectors permuted across
    items (shuffled).
    """
    rows: dict[tuple[str, ...], list[tuple[str, str, int, float]]] = defaultdict(list)
    cfg = None
    for entry in surveyed:
        found = entry.cell.config
        if not isinstance(found, RecommenderTrainingConfig) or entry.state != FINISHED:
            continue
        if found.recommender.name not in models:
            continue
        cfg, model, own = found, table_name(found.recommender), rows[tuple(found.leaks)]
        directory = entry.runs[0].directory
        metrics = load_json(directory / METRICS_FILE)
        if "auc_strict" in metrics:
            own.append(("auc", model, cfg.fold, metrics["auc_strict"]))
            manifest = load_json(directory / MANIFEST_FILE)
            own.append(("seconds", model, cfg.fold, manifest["wall_clock_s"]))
            own.append(("gigabytes", model, cfg.fold, manifest["peak_memory_mb"] / 1024))
        path = directory / PRECHECK_FILE
        known = load_json(path)["result"] if path.is_file() else {}
        for name, key in ((model, "cf2label_mAP"), ("shuffled", "shuffled_mAP"), ("popularity", "popularity_mAP")):
            if key in known:
                own.append(("cf2label", name, cfg.fold, known[key]))
    if cfg is None:
        return "No CF model has finished."
    order = ["popularity", "shuffled", *models]
    texts = [(dataset_dir(cfg) / PREPARED / REPORT_TEXT).read_text().partition("\n## ")[0]]  # Table 2
    for leaks, own in rows.items():
        own.sort(key=lambda row: order.index(row[1].removesuffix(SEEN_HELD_OUT)))
        values = pd.DataFrame(own, columns=["table", "model", "fold", "value"])
        folder = dataset_dir(cfg) / EVALUATION_DIR
        texts.append(save_cf_tables(folder, dataset_title(folder.parent), values, cfg.dataset.paper_results, leaks))
    return "\n".join(texts)


def _call(stage: str, arguments: Sequence[str]) -> bool:
    """Run a stage's entry script in a process of its own, its output on ours; whether it succeeded."""
    sys.stdout.flush()
    command = [sys.executable, str(PROJECT / f"main_{stage}.py"), *arguments]
    return subprocess.run(command, check=False).returncode == 0
