"""Early stopping and loggers."""

import sys
from types import ModuleType

import numpy as np
import pytest

from src.artifacts import CURVES_FILE
from src.classifiers.training import loggers
from src.errors import ConfigError


def test_training_ends_where_validation_stops_getting_better(pipeline):
    pipeline.classify("image_only", "early_stopping=1", "epochs=12", "lr=0.0")  # nothing changes but batch statistics
    (run,) = pipeline.runs("image_only")
    curve = np.genfromtxt(run / CURVES_FILE, delimiter=",", names=True)["valmAP"]
    assert len(curve) < 12
    assert curve[-1] <= curve[:-1].max()
    with pytest.raises(ConfigError, match="needs a method of one phase"):
        pipeline.classify("sequential", "early_stopping=2")
    with pytest.raises(ConfigError, match="early_stopping should be in"):
        pipeline.classify("image_only", "early_stopping=0")


@pytest.mark.slow
def test_tensorboard_gets_the_curves(pipeline):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    pipeline.classify("image_only", "loggers=[tensorboard]")
    (run,) = pipeline.runs("image_only")
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert {"train/loss", "val/mAP", "lr"} <= set(events.Tags()["scalars"])


def test_loggers_are_named_and_their_packages_asked_for(pipeline, monkeypatch):
    with pytest.raises(ConfigError, match="loggers should be one of tensorboard, mlflow, wandb, but is 'csv'"):
        pipeline.classify("image_only", "loggers=[csv]")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigError, match="pip install mlflow"):
        pipeline.classify("image_only", "loggers=[mlflow]")


@pytest.mark.parametrize(("name", "made"), [("mlflow", "MLFlowLogger"), ("wandb", "WandbLogger")])
def test_the_other_loggers_are_told_the_experiment_and_the_run(shared_pipeline, tmp_path, monkeypatch, name, made):
    import lightning.pytorch.loggers

    given = {}
    monkeypatch.setattr(lightning.pytorch.loggers, made, lambda **settings: given.update(settings))
    monkeypatch.setitem(sys.modules, name, ModuleType(name))
    cfg = shared_pipeline.config("train_classifier", f"loggers=[{name}]")
    loggers.build_loggers(cfg, tmp_path / "image_only" / "net-ratio1-fold0-seed0-abcdef12")
    assert "tiny-main" in given.values()
    assert "image_only/net-ratio1-fold0-seed0-abcdef12" in given.values()
