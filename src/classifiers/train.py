"""The stage ``main_train_classifier.py``: CF2Label or fine-tuning, skipped when finished, resumed when not.

What trains is imported only where something is to train, so that skipping takes no time.
"""

import logging
from collections.abc import Sequence
from typing import Any

from src.classifiers.settings import CF2LABEL, cf2label_run, fine_tuning_run, load_fold, resolve
from src.config import ClassifierTrainingConfig
from src.data.folds import FoldData
from src.runs import Run, is_primary_process

logger = logging.getLogger(__name__)


def train_classifier(cfg: ClassifierTrainingConfig, callbacks: Sequence[Any] = ()) -> dict[str, Any]:
    """Train one run, or report it when it is finished; returns its metrics.

    Args:
        cfg: The run's config.
        callbacks: More Lightning callbacks for fine-tuning, which must not change its result.
    """
    cfg = resolve(cfg)
    fold = load_fold(cfg)
    locate = cf2label_run if cfg.method.name == CF2LABEL else fine_tuning_run
    with Run(*locate(cfg, fold), force=cfg.force) as run:
        if run.finished:
            logger.info("Finished before, skipped: %s", run.directory)
            return run.metrics()
        logger.info("Training %s", run.directory)
        metrics = _train(cfg, fold, run, callbacks)
        return run.finish(cfg, metrics) if is_primary_process() else metrics


def _train(cfg: ClassifierTrainingConfig, fold: FoldData, run: Run, callbacks: Sequence[Any]) -> dict[str, Any]:
    if cfg.method.name == CF2LABEL:
        from src.classifiers.cf2label_stage import fit_cf2label

        return fit_cf2label(cfg, fold, run)
    from src.classifiers.fine_tuning import fine_tune

    return fine_tune(cfg, fold, run, callbacks)
