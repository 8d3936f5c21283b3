"""Averaged weights, early stopping and loggers: by config, and runs without them keep their names."""

import sys

import numpy as np
import pytest
import torch

from src.artifacts import CURVES_FILE, load_json
from src.classifiers import loggers
from src.errors import ConfigError


def weights(run, name="best.ckpt"):
    return torch.load(run / name, weights_only=True)


@pytest.mark.slow
def test_averaged_weights_are_validated_and_kept(pipeline):
    pipeline.classify("image_only", "ema_decay=0.9")
    (run,) = pipeline.runs("image_only")
    last = weights(run, "last.ckpt")
    name = "network.label_head.weight"
    assert not torch.equal(last["state_dict"][name], last["current_model_state"][name])
    curves = np.genfromtxt(run / CURVES_FILE, delimiter=",", names=True)
    assert load_json(run / "metrics.json")["val_mAP"] == pytest.approx(curves["valmAP"].max(), abs=1e-6)
    pipeline.classify("image_only")
    assert len(pipeline.runs("image_only")) == 2
    with pytest.raises(ConfigError, match=r"ema_decay should be in \[0, 1\), but is 1.5"):
        pipeline.classify("image_only", "ema_decay=1.5")


@pytest.mark.slow
def test_averaging_survives_an_interruption(pipeline, monkeypatch):
    from src.classifiers import module

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
    with pytest.raises(ConfigError, match="the method have one phase"):
        pipeline.classify("sequential", "early_stopping=2")
    with pytest.raises(ConfigError, match="at least 1 epoch"):
        pipeline.classify("image_only", "early_stopping=0")


@pytest.mark.slow
def test_tensorboard_gets_curves_and_throughput(pipeline):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    pipeline.classify("image_only", "loggers=[tensorboard]")
    (run,) = pipeline.runs("image_only")
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert {"train/loss", "val/mAP", "lr", "train/images_a_second"} <= set(events.Tags()["scalars"])
    assert "images_a_second" not in (run / CURVES_FILE).read_text()


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
    monkeypatch.setattr(loggers, "_require", lambda name: None)
    cfg = shared_pipeline.config("train_classifier", f"loggers=[{name}]")
    loggers.build_loggers(cfg, tmp_path / "image_only" / "net-ratio1-fold0-seed0-abcdef12")
    assert "tiny-main" in given.values()
    assert "image_only/net-ratio1-fold0-seed0-abcdef12" in given.values()


def test_task_weights_are_learned_and_kept_in_the_curves(pipeline):
    pipeline.classify("mtl_learned")
    (run,) = pipeline.runs("mtl_learned")
    curve = np.genfromtxt(run / CURVES_FILE, delimiter=",", names=True)
    for name in ("weightlabel", "weightauxiliary"):
        assert curve[name][0] != 1
        assert curve[name][1] != curve[name][0]
    total = sum(curve[f"train{name}_loss"] for name in ("label", "auxiliary"))
    assert not np.allclose(curve["trainloss"], total)


@pytest.mark.slow
def test_asymmetric_loss_trains(pipeline):
    pipeline.classify("cf_distill", "loss.label=asymmetric", "epochs=4")
    (run,) = pipeline.runs("cf_distill")
    curve = np.genfromtxt(run / CURVES_FILE, delimiter=",", names=True)
    assert curve["trainloss"][-1] < curve["trainloss"][0]
    with pytest.raises(ConfigError, match=r"loss\.label should be one of cross_entropy, asymmetric"):
        pipeline.classify("image_only", "loss.label=hinge")
