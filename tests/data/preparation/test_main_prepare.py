"""The entry script as a user starts it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.tiny import write_tiny_dataset

ROOT = Path(__file__).parents[3]


def run(*overrides):
    command = [sys.executable, "main_prepare_dataset.py", *overrides]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_new_dataset_by_overrides_alone(tmp_path):
    folder = write_tiny_dataset(tmp_path / "raw", n_items=20, n_users=10)
    before = set(ROOT.iterdir())
    result = run(
        "dataset=tabular",
        "dataset.name=mine",
        f"dataset.raw_dir={folder}",
        "dataset.store_size=24",
        f"outputs_dir={tmp_path / 'outputs'}",
    )
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "outputs" / "mine" / "prepared" / "report.json").read_text())
    assert report["statistics"]["images"] == 20
    assert {path for path in ROOT.iterdir() if path.suffix == ".log" or path.name == ".hydra"} <= before  # no litter
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["mine"]


def test_missing_raw_files_are_one_message(tmp_path):
    result = run("dataset=movielens_posters", f"dataset.raw_dir={tmp_path / 'none'}", f"outputs_dir={tmp_path}")
    assert result.returncode == 1
    shown = result.stdout + result.stderr
    assert "items.csv does not exist. Put the raw file there" in shown
    assert "public MovieLens files" in shown
    assert "Traceback" not in shown


def test_mistyped_key_fails_at_start():
    result = run("dataset.store_sise=32")
    assert result.returncode != 0
    assert "There is no setting dataset.store_sise; did you mean store_size?" in result.stdout
