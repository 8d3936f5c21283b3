"""Faults of the machine: nothing half-written is left, one sentence says what to mend, and the same command goes on."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from tests.pipeline import ROOT
from tests.test_resume import KILL_MID_EPOCH, kill

pytestmark = pytest.mark.slow


@pytest.fixture
def small_disk(pipeline, tmp_path):
    """The pipeline with its outputs on a disk of their own, with 300 kB left; and how to mount it anew."""
    disk = tmp_path / "disk"
    disk.mkdir()
    used = sum(path.stat().st_size for path in pipeline.outputs_dir.rglob("*") if path.is_file())

    def mount(options):
        return subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], capture_output=True
        ).returncode

    if os.geteuid() != 0 or mount(f"size={used // 1024 + 600}k") != 0:
        pytest.skip("needs to be allowed to mount")
    try:
        shutil.copytree(pipeline.outputs_dir, disk / "outputs")
        yield pipeline.at(disk / "outputs"), lambda options: mount(f"remount,{options}")
    finally:
        subprocess.run(["umount", str(disk)], check=False)


def train(pipeline):
    command = [sys.executable, str(ROOT / "main_train_classifier.py"), *pipeline.overrides("train_classifier")]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_a_full_disk(small_disk):
    pipeline, remount = small_disk
    answer = train(pipeline)
    assert answer.returncode == 1
    assert "Writing failed: [Errno 28] No space left on device" in answer.stdout
    assert "Traceback" not in answer.stderr
    assert not list(pipeline.outputs_dir.rglob("*.tmp"))
    assert remount("size=100m") == 0
    assert train(pipeline).returncode == 0
    (run,) = pipeline.runs("image_only")
    assert (run / "manifest.json").is_file()


def test_outputs_that_cannot_be_written(small_disk):
    pipeline, remount = small_disk
    assert remount("ro") == 0
    answer = train(pipeline)
    assert answer.returncode == 1
    assert "Read-only file system" in answer.stdout
    assert "Traceback" not in answer.stderr
    assert remount("rw,size=100m") == 0
    assert train(pipeline).returncode == 0


def test_sigterm_in_an_epoch(pipeline, shared_pipeline, tmp_path):
    command = ("image_only", "epochs=4")
    kill(pipeline, KILL_MID_EPOCH.replace("SIGKILL", "SIGTERM"), *command, status=143)
    (run,) = pipeline.runs("image_only")
    assert not (run / "manifest.json").exists()
    whole = shared_pipeline.at(tmp_path / "whole")
    shutil.copytree(shared_pipeline.outputs_dir, whole.outputs_dir)
    assert pipeline.classify(*command) == whole.classify(*command)
    assert not list(pipeline.outputs_dir.rglob("*.tmp"))


def test_a_clock_that_jumps_changes_nothing(pipeline, shared_pipeline, tmp_path, monkeypatch):
    whole = shared_pipeline.at(tmp_path / "whole")
    shutil.copytree(shared_pipeline.outputs_dir, whole.outputs_dir)
    expected = whole.classify("image_only")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 10 * 365 * 86400)
    assert pipeline.classify("image_only") == expected
    (run,) = pipeline.runs("image_only")
    assert '"wall_clock_s": -' not in (run / "manifest.json").read_text()
