"""The stage ``main_predict_testset.py``: scores of a fold's test images from each finished run of a study."""

import logging
from functools import cache
from typing import Any

from src.artifacts import MANIFEST_FILE, PREDICTIONS_FILE, PREPARED, RESULTS_FILE, RunRecord, replace_records
from src.classifiers.runs import runs_of_study
from src.classifiers.settings import CF2LABEL, FROZEN
from src.config.stages import PredictConfig
from src.console import progress
from src.data.folds import load_manifest, open_fold
from src.errors import ArtifactError
from src.files import load_json
from src.recommenders.run import dataset_dir, table_name
from src.runs import is_finished

logger = logging.getLogger(__name__)


def predict_testset(cfg: PredictConfig) -> dict[str, Any]:
    """Write ``predictions.npz`` into each finished run of the study, and list the runs in ``results.yaml``.

    Unfinished runs and runs of another state of the dataset are skipped and counted.

    Raises:
        ArtifactError: The dataset is not prepared, or the study has no finished run.
    """
    root = dataset_dir(cfg)
    task = load_manifest(root / PREPARED)["task"]
    records, counts = [], {"n_predicted": 0, "n_reused": 0, "n_unfinished": 0, "n_stale": 0}
    digest = cache(lambda fold, *leaks: open_fold(root / PREPARED, fold, leaks).items_digest)
    runs = runs_of_study(root, cfg.study)
    for directory, settings in progress(runs, "predict", shown=cfg.trainer.progress_bar):
        if not is_finished(directory):
            counts["n_unfinished"] += 1
            continue
        definition = load_json(directory / MANIFEST_FILE)["definition"]
        if definition["inputs"]["items"] != digest(settings["fold"], *settings["leaks"]):
            logger.warning("%s was trained on another state of the dataset; skipped. Train it again.", directory)
            counts["n_stale"] += 1
            continue
        path = directory / PREDICTIONS_FILE
        if cfg.force or not path.is_file():
            from src.classifiers.finished_run import FinishedRun  # slow to import, and not needed if all is predicted

            FinishedRun.open(directory).predict_test(cfg.batch_size, cfg.trainer.num_workers).save(path)
            counts["n_predicted"] += 1
        else:
            counts["n_reused"] += 1
        records.append(_record(directory.relative_to(root).as_posix(), task, settings, definition["inputs"]))
    if not records:
        raise ArtifactError(
            f"{root} has no finished run of study {cfg.study!r}; train one first: "
            f"python main_train_classifier.py dataset={cfg.dataset.name} method=image_only"
        )
    replace_records(root / RESULTS_FILE, cfg.study, records)
    return {**counts, "results": str(root / RESULTS_FILE)}


def _record(run: str, task: str, settings: dict[str, Any], inputs: dict[str, str]) -> RunRecord:
    uses_vectors = "vectors" in inputs or CF2LABEL in inputs
    return RunRecord(
        run=run,
        task=task,
        method=settings["method"]["name"],
        backbone=settings["backbone"]["name"] + (" frozen" if settings["features"] == FROZEN else ""),
        image_size=settings["image_size"],
        label_ratio=settings["label_ratio"],
        alpha=settings["alpha"] if "vectors" in inputs else None,
        distill_lambda=settings["distill_lambda"] if settings["method"]["soft_labels"] else None,
        recommender=table_name(settings["recommender"]) if uses_vectors else None,
        fold=settings["fold"],
        seed=settings["seed"],
        study=settings["study"],
    )
