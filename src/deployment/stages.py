"""The stages ``main_predict_testset.py`` and ``main_use_model.py``; only what they use is imported."""

from typing import Any

from src.config.stages import PredictConfig, UseConfig
from src.errors import ConfigError
from src.machine import keep_freed_memory


def predict(cfg: PredictConfig) -> dict[str, Any]:
    """Predict the test set of a study's finished runs, with ``cold_start`` also what that measures."""
    keep_freed_memory()
    if cfg.cold_start:
        from src.deployment.cold_start import measure_cold_start

        return measure_cold_start(cfg)
    from src.classifiers.predict import predict_testset

    return predict_testset(cfg)


def use_model(cfg: UseConfig) -> dict[str, Any]:
    """Export a run, label images with it, or serve a page; raises ``ConfigError`` unless one of them is asked for."""
    if [cfg.images is not None, cfg.export is not None, cfg.demo].count(True) != 1:
        raise ConfigError("Give one of images=FOLDER_OR_LIST to label images, export=onnx, or demo=true for a page.")
    keep_freed_memory()
    if cfg.demo:
        from src.deployment.demo import serve

        return serve(cfg)
    if cfg.export is not None:
        from src.deployment.export import export_model

        return export_model(cfg)
    from src.deployment.label_images import label_images

    return label_images(cfg)
