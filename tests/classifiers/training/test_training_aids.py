"""Averaged weights, early stopping and loggers: by config, and runs without them keep their names."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from src.artifacts import CURVES_FILE
from src.classifiers.training import loggers
from src.errors import ConfigError
from src.files import load_json


def weights(run, name="best.ckpt"):
    return torch.load(run / name, weights_only=True)


@pytest.mark.slow
def test_averaged_weights_are_validated_and_kept(pipeline):
    pipeline.classify("image_only", "ema_decay=0.9")
    (run,) = pipeline.runs("image_only")
    last = weights(run, "last.ckpt")
    name = "network.heads.label_head.linear.weight"
    assert not torch.equal(last["state_dict"][name], last["current_model_state"][name])
    curves = np.genfromtxt(run / CURVES_FILE, delimiter=",", names=True)
    assert load_json(run / "metrics.json")["val_mAP"] == pytest.approx(curves["valmAP"].max(), abs=1e-6)
    pipeline.classify("image_only")
    assert len(pipeline.runs("image_only")) == 2
    with pytest.raises(ConfigError, match=r"ema_decay should be in \[0, 1\), but is 1.5"):
        pipeline.classify("image_only", "ema_decay=1.5")


@pytest.mark.slow
def test_averaging_survives_an_interruption(pipeline, monkeypatch):
    from src.classifiers.training import module

    whole = pipeline.classify("image_only", "ema_decay=0.9", "epochs=3")
    (run,) = pipeline.runs("image_only")
    expected = weights(run)["state_dict"]
    step = module.MultitaskModule.training_step

    def stop_in_the_third_epoch(self, batch, batch_idx):
        if self.current_epoch == 2:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(module.MultitaskModule, "training_step", stop_in_the_third_epoch)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            pipeline.classify("image_only", "ema_decay=0.9", "epochs=3", "force=true")
    assert pipeline.classify("image_only", "ema_decay=0.9", "epochs=3") == whole
    for name, value in weights(run)["state_dict"].items():
        assert torch.equal(value, expected[name])


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
def test_tensorboard_gets_curves_and_throughput(pipeline):
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
