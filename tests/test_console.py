"""Progress where the output is redirected: a line a minute, and none for work of seconds."""

import logging
import time
from functools import partial

import numpy as np
import pytest
from scipy import sparse

from src import console
from src.config.classifiers import TrainerConfig
from src.recommenders.models.vae import VAEConfig, VAERecommender


@pytest.fixture
def minute(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    """Sets how long a minute is, in seconds."""
    caplog.set_level(logging.INFO, logger="src.console")
    return partial(monkeypatch.setattr, console, "A_MINUTE")


def test_long_work_gets_a_line_a_minute(minute, caplog, capsys):
    minute(0.1)
    for _ in console.progress(range(40), "images", 40):
        time.sleep(0.01)
    assert 2 <= len(caplog.messages) <= 5
    assert all(line.startswith("images:") and "/40" in line for line in caplog.messages)
    assert capsys.readouterr() == ("", "")


def test_short_work_gets_none(minute, caplog, capsys):
    minute(60)
    assert list(console.progress(range(40), "images", 40)) == list(range(40))
    assert not caplog.messages
    assert capsys.readouterr() == ("", "")


def test_progress_can_be_switched_off(minute, caplog):
    minute(0)
    assert list(console.progress(range(3), "images", shown=False)) == [0, 1, 2]
    assert not caplog.messages


@pytest.mark.parametrize("shown", [True, False])
def test_steps_of_training_are_lines_too(minute, caplog, shown):
    minute(0)
    matrix = sparse.csr_matrix(np.eye(8, dtype=np.float32))
    trainer = TrainerConfig(accelerator="cpu", progress_bar=shown)
    VAERecommender(VAEConfig(max_steps=4, batch_size=4), trainer).fit(matrix, seed=0)
    assert [line for line in caplog.messages if "4/4" in line and line.startswith("steps:")] or not shown
    assert bool(caplog.messages) == shown
