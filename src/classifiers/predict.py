"""The stage ``main_predict_testset.py``: scores of a fold's test images from each finished run of a study."""

import logging
from pathlib import Path
from typing import Any

from tqdm import tqdm

from src.artifacts import (
    CONFIG_FILE,
    MANIFEST_FILE,
    PREDICTIONS_FILE,
    PREPARED,
    RESULTS_FILE,
    load_json,
    load_yaml,
    save_yaml,
)
from src.classifiers.settings import CF2LABEL
from src.config import PredictConfig
from src.data.folds import load_manifest, open_fold
from src.errors import ArtifactError
from src.runs import is_finished

logger = logging.getLogger(__name__)


def predict_testset(cfg: PredictConfig) -> dict[str, Any]:
    """Write ``predictions.npz`` into each finished run of the study, and list the runs in ``results.yaml``.

    Runs made from another state of the dataset are left out and counted, as are unfinished ones.

    Raises:
        ArtifactError: The dataset is not prepared, or the study has no finished run.
    """
    root = Path(cfg.outputs_dir) / cfg.dataset.name
    load_manifest(root / PREPARED)
    entries, counts = [], {"n_predicted": 0, "n_reused": 0, "n_unfinished": 0, "n_stale": 0}
    digests: dict[tuple[Any, ...], str] = {}
    for directory in tqdm(_runs_of(root, cfg.study), desc="predict", disable=not cfg.trainer.progress_bar):
        settings = load_yaml(directory / CONFIG_FILE)
        if not is_finished(directory):
            counts["n_unfinished"] += 1
            continue
        definition = load_json(directory / MANIFEST_FILE)["definition"]
        seen = settings["fold"], *settings.get("leaks", [])
        if seen not in digests:
            digests[seen] = open_fold(root / PREPARED, seen[0], seen[1:]).items_digest
        if definition["inputs"]["items"] != digests[seen]:
            logger.warning("%s was trained on another state of the dataset; left out.", directory)
            counts["n_stale"] += 1
            continue
        path = directory / PREDICTIONS_FILE
        if cfg.force or not path.is_file():
            from src.classifiers.inference import predict_run  # heavy, and not needed where all is predicted

            predict_run(directory, definition, root / PREPARED, cfg.batch_size, cfg.trainer.num_workers).save(path)
            counts["n_predicted"] += 1
        else:
            counts["n_reused"] += 1
        entries.append(_entry(root, directory, settings, definition))
    if not entries:
        raise ArtifactError(
            f"{root} has no finished run of study {cfg.study!r}; train one first: "
            f"python main_train_classifier.py dataset={cfg.dataset.name} method=image_only"
        )
    results_path = root / RESULTS_FILE
    others = load_yaml(results_path)["runs"] if results_path.is_file() else []
    others = [entry for entry in others if entry["study"] != cfg.study]
    save_yaml(results_path, {"runs": sorted([*others, *entries], key=lambda entry: str(entry["run"]))})
    return {**counts, "results": str(results_path)}


def _runs_of(root: Path, study: str) -> list[Path]:
    """Directories of fine-tuning runs of a study, in order of their names."""
    configs = sorted((root / "classifier").glob(f"*/*/{CONFIG_FILE}"))
    directories = [path.parent for path in configs if path.parent.parent.name != CF2LABEL]
    return [directory for directory in directories if load_yaml(directory / CONFIG_FILE)["study"] == study]


def _entry(root: Path, directory: Path, settings: dict[str, Any], definition: dict[str, Any]) -> dict[str, Any]:
    uses_vectors = "vectors" in definition["inputs"] or CF2LABEL in definition["inputs"]
    return {
        "run": directory.relative_to(root).as_posix(),
        "method": settings["method"]["name"],
        "backbone": settings["backbone"]["name"],
        "image_size": settings["image_size"],
        "label_ratio": settings["label_ratio"],
        "alpha": settings["alpha"] if "vectors" in definition["inputs"] else None,
        "distill_lambda": settings["distill_lambda"] if settings["method"]["soft_labels"] else None,
        "recommender": settings["recommender"]["name"] if uses_vectors else None,
        "fold": settings["fold"],
        "seed": settings["seed"],
        "study": settings["study"],
    }
