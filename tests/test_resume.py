"""kill -9 at the worst moments: the same command again ends where an uninterrupted run ends."""

import signal
import subprocess
import sys
import textwrap

import pytest
import torch

from src.errors import ConfigError
from tests.pipeline import ROOT

KILL_MID_EPOCH = """
from src.classifiers.training.module import MultitaskModule
step = MultitaskModule.training_step
def training_step(self, batch, batch_idx):
    if self.current_epoch == 2 and batch_idx == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, batch_idx)
MultitaskModule.training_step = training_step
"""
KILL_BEFORE_METRICS = """
from src.classifiers.training import loop as fine_tuning
fine_tuning.predict_scores = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
"""
KILL_BEFORE_MANIFEST = """
from src import runs
runs.build_manifest = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
"""
KILL_IN_A_CHECKPOINT = """
import torch
from src.classifiers.models import checkpoints
save, calls = torch.save, []
def save_half(checkpoint, stream):
    calls.append(1)
    if len(calls) == 4:
        stream.write(b"half")
        stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    save(checkpoint, stream)
checkpoints.torch.save = save_half
"""


def kill(pipeline, sabotage, *overrides, status=-signal.SIGKILL):
    """Train in a process of its own that kills itself; returns once it is dead."""
    script = textwrap.dedent(
        f"""
        import os, signal
        from pathlib import Path
        import torch
        torch.set_num_threads(1)
        from tests.pipeline import Pipeline
        {{sabotage}}
        Pipeline(Path({str(pipeline.raw_dir)!r}), Path({str(pipeline.outputs_dir)!r})).classify(*{list(overrides)!r})
        """
    ).format(sabotage=sabotage.strip())
    process = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert process.returncode == status, process.stderr


@pytest.mark.parametrize(
    "sabotage",
    [
        pytest.param(KILL_MID_EPOCH, id="mid-epoch", marks=pytest.mark.slow),
        pytest.param(KILL_BEFORE_METRICS, id="before metrics", marks=pytest.mark.slow),
        pytest.param(KILL_BEFORE_MANIFEST, id="before manifest", marks=pytest.mark.slow),
        pytest.param(KILL_IN_A_CHECKPOINT, id="in a checkpoint", marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_resumes_to_the_same_metrics(pipeline, tmp_path, sabotage):
    command = ("mtl_uniform", "label_ratio=0.4", "epochs=4")
    kill(pipeline, sabotage, *command)
    (killed,) = pipeline.runs("mtl_uniform")
    assert not (killed / "manifest.json").exists()
    pipeline.classify(*command)

    whole = pipeline.at(tmp_path / "whole")
    (tmp_path / "outputs" / "tiny" / "prepared").rename(tmp_path / "prepared")
    whole.outputs_dir.mkdir()
    (whole.outputs_dir / "tiny").mkdir()
    (tmp_path / "prepared").rename(whole.outputs_dir / "tiny" / "prepared")
    (pipeline.outputs_dir / "tiny" / "recommender").rename(whole.outputs_dir / "tiny" / "recommender")
    whole.classify(*command)
    (uninterrupted,) = whole.runs("mtl_uniform")
    assert killed.name == uninterrupted.name
    for name in ("metrics.json", "metrics.csv"):
        assert (killed / name).read_bytes() == (uninterrupted / name).read_bytes()


@pytest.mark.slow
def test_a_killed_sequential_run_resumes_at_its_phase(pipeline):
    command = ("sequential", "epochs=2")
    kill(pipeline, KILL_MID_EPOCH, *command)  # in the first epoch of the second phase
    resumed = pipeline.classify(*command)
    assert pipeline.classify(*command, "force=true") == resumed


def test_a_forced_run_that_cannot_start_leaves_the_old_one(pipeline):
    pipeline.classify("image_only", "epochs=1")
    pipeline.run("predict_testset")
    folders = [*pipeline.runs("image_only"), *(pipeline.outputs_dir / "tiny" / "recommender" / "vae").glob("fold*")]
    before = {path: path.read_bytes() for folder in folders for path in folder.iterdir() if path.is_file()}
    there = {"mps": torch.backends.mps.is_available(), "cuda": torch.cuda.is_available()}
    device = next(name for name, available in there.items() if not available)
    with pytest.raises(ConfigError, match="trainer cannot be set up"):
        pipeline.classify("image_only", "epochs=1", "force=true", f"trainer.accelerator={device}")
    with pytest.raises(ConfigError, match="trainer cannot be set up"):
        pipeline.run("train_recommender", "force=true", f"trainer.accelerator={device}")
    assert {path: path.read_bytes() for path in before} == before
