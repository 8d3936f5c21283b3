"""The stage ``main_predict_testset.py``: scores of the test set, with ``fusion`` also from interactions."""

from typing import Any

from src.config.stages import PredictConfig
from src.machine import keep_freed_memory


def predict(cfg: PredictConfig) -> dict[str, Any]:
    """Predict the test set of a study's finished runs."""
    keep_freed_memory()
    if cfg.fusion:
        from src.deployment.fusion import predict_fusion

        return predict_fusion(cfg)
    from src.classifiers.predict import predict_testset

    return predict_testset(cfg)
