"""The evaluation stage: reads predicted runs, writes tables, figures and all numbers."""

import logging
from pathlib import Path
from typing import Any

from src.artifacts import EVALUATION_DIR, RESULTS_FILE
from src.config.datasets import REGRESSION
from src.config.stages import MAIN_STUDY, EvaluateConfig
from src.errors import ArtifactError
from src.evaluation.inputs.aligned import AlignedPredictions, StudyRuns
from src.evaluation.inputs.runs_table import group_by_setting, load_run_records
from src.evaluation.protocols.paper import evaluate_as_paper
from src.evaluation.protocols.regression import evaluate_numbers
from src.evaluation.protocols.valid import evaluate_classes
from src.evaluation.report.page import PAGE, Evaluated, save_page
from src.files import save_json, save_text

_log = logging.getLogger(__name__)


def evaluate(cfg: EvaluateConfig) -> dict[str, Any]:
    """Evaluate the predicted runs of one dataset, or of all datasets that have any.

    Writes ``outputs/<dataset>/evaluation/``: for each setting (backbone, image size, label ratio) a table and the
    average precision of each class, figures, ``results.json`` with every number, and ``report.html`` with all of it on
    one page. ``dataset=all`` also writes ``outputs/evaluation/``: the tables and the report of all datasets. Equal
    inputs and seed give equal bytes.

    Returns:
        The content of ``results.json``, with ``dataset=all`` of each dataset.

    Raises:
        ArtifactError: There is nothing to evaluate, or runs do not fit each other; the message says what to run.
    """
    outputs_dir = Path(cfg.outputs_dir)
    if cfg.dataset.name != "all":
        return _evaluate_dataset(outputs_dir / cfg.dataset.name, cfg).numbers
    found = sorted(path.parent for path in outputs_dir.glob(f"*/{RESULTS_FILE}") if path.parent.name != EVALUATION_DIR)
    if not found:
        raise ArtifactError(
            f"Nothing to evaluate: no dataset in {outputs_dir} has predictions; run "
            "`python main_predict_testset.py dataset=...` for each dataset first."
        )
    evaluated = {dataset_dir.name: _evaluate_dataset(dataset_dir, cfg) for dataset_dir in found}
    folder = outputs_dir / EVALUATION_DIR
    texts = [one.text for one in evaluated.values()]
    save_text(folder / f"methods_{cfg.study}_{cfg.protocol}.md", "\n".join(texts))
    pages = [one.page for one in evaluated.values() if one.page]
    if pages:
        save_page(folder / PAGE, f"All datasets, study {cfg.study}", pages)
    return {name: one.numbers for name, one in evaluated.items()}


def _evaluate_dataset(dataset_dir: Path, cfg: EvaluateConfig) -> Evaluated:
    """Evaluate one dataset, by the protocol asked for, or for numbers by the one there is."""
    records = load_run_records(dataset_dir, cfg.study)
    folder = dataset_dir / EVALUATION_DIR
    folder = folder if cfg.study == MAIN_STUDY else folder / cfg.study
    grouped = group_by_setting(records, cfg.baseline)
    study = StudyRuns(cfg, dataset_dir, folder, grouped, AlignedPredictions(dataset_dir))
    if cfg.protocol == "paper":
        protocol, name = evaluate_as_paper, "results_paper.json"
    else:
        protocol, name = evaluate_numbers if records[0].task == REGRESSION else evaluate_classes, "results.json"
    numbers, text, page = protocol(study)
    numbers = {"dataset": dataset_dir.name, "study": cfg.study, "protocol": cfg.protocol, **numbers}
    save_json(folder / name, numbers)
    _log.info("Tables and all numbers: %s\n\n%s", folder, text)
    return Evaluated(numbers, text, page)
