import logging

import pytest
import torch

from src.classifiers.training import loop
from src.classifiers.training.loop import usable_precision
from src.errors import ConfigError
from tests.pipeline import compose_config


@pytest.fixture
def machine(monkeypatch):
    def pretend(*, cpu=(), gpu=None):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(cpu, True))
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu is not None)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bool(gpu))
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    return pretend


@pytest.mark.parametrize("cpu", [("avx2",), ("neon", "fp16_arith")])
def test_emulated_bfloat16_becomes_full_precision_and_says_so(machine, cpu, caplog):
    machine(cpu=cpu)
    with caplog.at_level(logging.WARNING):
        assert usable_precision("bf16-mixed", "auto") == "32-true"
    assert "precision=bf16-mixed would be emulated" in caplog.text


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", "bf16"])
def test_native_bfloat16_of_a_processor_stays(machine, name):
    machine(cpu=("avx2", name))
    assert usable_precision("bf16-true", "cpu") == "bf16-true"


def test_a_gpu_is_asked_before_the_processor(machine):
    machine(cpu=("avx2",), gpu=True)
    assert usable_precision("bf16-mixed", "auto") == "bf16-mixed"
    assert usable_precision("bf16-mixed", "cpu") == "32-true"
    machine(cpu=("avx512_bf16",), gpu=False)
    assert usable_precision("bf16-mixed", "gpu") == "32-true"


@pytest.mark.parametrize("precision", ["32-true", "16-mixed"])
def test_other_precisions_stay(machine, precision):
    machine(cpu=("avx2",))
    assert usable_precision(precision, "auto") == precision


@pytest.mark.parametrize("features", ["learned", "frozen"])
@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed", "16-true", "bf16-true", "64-true"])
def test_every_number_format_trains(pipeline, monkeypatch, precision, features):
    monkeypatch.setattr(loop, "usable_precision", lambda precision, _: precision)  # bfloat16 emulated, if need be
    metrics = pipeline.classify("mtl_uniform", f"precision={precision}", f"features={features}", "alpha=0.2")
    assert metrics["val_mAP"] > 0.5
    state = torch.load(pipeline.runs("mtl_uniform")[0] / "last.ckpt", weights_only=True)["state_dict"]
    formats = {"16-true": torch.float16, "bf16-true": torch.bfloat16, "64-true": torch.float64}
    assert state["network.heads.label_head.linear.weight"].dtype == formats.get(precision, torch.float32)


PROCESSORS = [
    ("trainer.accelerator=cpux", "trainer.accelerator should be one of auto, .*, but is 'cpux'"),
    ("trainer.accelerator=cuda:0", "trainer.accelerator should be one of auto, .*, but is 'cuda:0'"),
    ("trainer.strategy=nosuch", "trainer.strategy should be one of auto, .*, but is 'nosuch'"),
    ("trainer.devices=-1", r"trainer.devices should be in \[1, inf\), but is -1"),
    ("trainer.devices='0,1'", "trainer.devices: Value '0,1' .* could not be converted to Integer"),
]


@pytest.mark.parametrize(
    ("stage", "given", "sentence"),
    [
        ("train_classifier", "precision=fp16", "precision should be one of 32-true, .*, but is 'fp16'"),
        *(("train_classifier", *case) for case in PROCESSORS),
        *(("train_recommender", *case) for case in PROCESSORS),
    ],
)
def test_a_wrong_processor_or_format_gets_a_sentence(stage, given, sentence):
    with pytest.raises(ConfigError, match=sentence):
        compose_config(stage, given)
