import logging

import pytest
import torch

from src.classifiers.fine_tuning import usable_precision


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
