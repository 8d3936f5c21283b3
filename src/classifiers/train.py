"""The stage ``main_train_classifier.py``: CF2Label, label issues or fine-tuning; skipped when finished, else resumed.

Training code is imported only when needed, so that skipping is fast.
"""

import logging
from collections.abc import Sequence
from typing import Any

from src.classifiers.runs import classifier_run, load_fold
from src.classifiers.settings import CF2LABEL, LABEL_ISSUES, resolve, tuned_by, tuned_with
from src.config.stages import ClassifierTrainingConfig
from src.data.folds import FoldData
from src.runs import Run, is_primary_process

logger = logging.getLogger(__name__)


def train_classifier(cfg: ClassifierTrainingConfig, callbacks: Sequence[Any] = ()) -> dict[str, Any]:
    """Train one run unless it is finished; returns its metrics.

    ``callbacks`` are Lightning callbacks for fine-tuning that do not change its result.
    """
    cfg = resolve(cfg)
    report_tuned(cfg)
    fold = load_fold(cfg)
    fold.require_labels(f"method={cfg.method.name}")
    run = classifier_run(cfg, fold)
    with run.locked(force=cfg.force):
        if run.finished:
            logger.info("Finished before, skipped: %s", run.directory)
            return run.metrics()
        logger.info("Training %s", run.directory)
        metrics = _train(cfg, fold, run, callbacks)
        return run.finish(cfg, metrics) if is_primary_process() else metrics


def _train(cfg: ClassifierTrainingConfig, fold: FoldData, run: Run, callbacks: Sequence[Any]) -> dict[str, Any]:
    if cfg.method.name == CF2LABEL:
        from src.cf2label.stage import fit_cf2label
        from src.classifiers.targets.vectors import train_vectors

        fold.require_classes("method=cf2label")
        return fit_cf2label(cfg, fold, train_vectors(cfg, fold), run)
    if cfg.method.name == LABEL_ISSUES:
        from src.classifiers.label_issues.stage import find_label_issues

        return find_label_issues(cfg, fold, run)
    from src.classifiers.training.loop import fine_tune

    return fine_tune(cfg, fold, run, callbacks)


def report_tuned(cfg: ClassifierTrainingConfig) -> None:
    """Log the tuned settings that a resolved config took, and the fixed settings in which their tuning differed."""
    method, entry = tuned_by(cfg)
    if not entry:
        return
    here, may_differ = tuned_with(cfg), ("fold", "seed", "label_ratio")
    made_with = {name: value for name, value in entry.get("made_with", {}).items() if name not in may_differ}
    other = [f"{name}={value}" for name, value in made_with.items() if here.get(name, value) != value]
    chosen = " ".join(f"{name}={value}" for name, value in entry["settings"].items())
    logger.info("Tuned for %s: %s%s", method, chosen, f"; tuned with {', '.join(other)}" if other else "")
