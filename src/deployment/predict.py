"""The stage ``main_predict_testset.py``: scores of the test set, labels of new images, or a model to take elsewhere."""

from typing import Any

from src.config import PredictConfig
from src.machine import keep_freed_memory


def predict(cfg: PredictConfig) -> dict[str, Any]:
    """Export a run, label new images, or predict the test set, with ``fusion`` from interactions too."""
    keep_freed_memory()
    if cfg.export is not None:
        from src.deployment.export import export_model

        return export_model(cfg)
    if cfg.images is not None:
        from src.deployment.label_images import label_images

        return label_images(cfg)
    if cfg.fusion:
        from src.deployment.fusion import predict_fusion

        return predict_fusion(cfg)
    from src.classifiers.predict import predict_testset

    return predict_testset(cfg)
