"""The stage ``main_train_classifier.py``: CF2Label or fine-tuning, skipped when finished, resumed when not.

Training code is imported only when needed, so that skipping is fast.
"""

import logging
from collections.abc import Sequence
from typing import Any

from src.classifiers.settings import CF2LABEL, classifier_run, load_fold, report_tuned, resolve, vectors_run
from src.config.stages import HELD_OUT_INTERACTIONS, ClassifierTrainingConfig
from src.data.folds import FoldData
from src.runs import Run, is_primary_process

logger = logging.getLogger(__name__)


def train_classifier(cfg: ClassifierTrainingConfig, callbacks: Sequence[Any] = ()) -> dict[str, Any]:
    """Train one run unless it is finished; returns its metrics.

    ``callbacks`` are Lightning callbacks for fine-tuning that do not change its result.
    """
    report_tuned(cfg)
    cfg = resolve(cfg)
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

        return fit_cf2label(cfg, fold, vectors_run(cfg, fold), run, may_leak=HELD_OUT_INTERACTIONS in cfg.leaks)
    from src.classifiers.training.loop import fine_tune

    return fine_tune(cfg, fold, run, callbacks)
