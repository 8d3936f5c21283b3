"""The shell scripts, run with a stand-in for python that records what it is called with."""

import hashlib
import os
import subprocess
from functools import cache

import pytest

from src.experiments.plan import build_steps
from src.experiments.run import compose_experiment
from tests.pipeline import ROOT, STAGES, compose_config, slow_but

SCRIPTS = sorted(path.name for path in (ROOT / "bash_scripts").glob("[0-9]*.sh"))
STAND_IN = '#!/bin/sh\nfor word in "$@"; do printf "%s\\037" "$word"; done >> "$RECORD"; echo >> "$RECORD"\n'


def commands(script, tmp_path, *overrides):
    """(stage, overrides) of each command that a script runs, in order."""
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True, exist_ok=True)
    (venv / "bin" / "activate").write_text(f'PATH="{venv}/bin:$PATH"\n')
    (venv / "bin" / "python").write_text(STAND_IN)
    (venv / "bin" / "python").chmod(0o755)
    digest = hashlib.sha256((ROOT / "requirements.txt").read_bytes()).hexdigest()
    (venv / ".requirements.sha256").write_text(f"{digest}\n")
    record = tmp_path / "record"
    record.unlink(missing_ok=True)
    subprocess.run(
        ["bash", str(ROOT / "bash_scripts" / script), *overrides],
        env=os.environ | {"VENV": str(venv), "RECORD": str(record)},
        cwd=tmp_path,
        check=True,
        timeout=60,
    )
    lines = [line.split("\x1f")[:-1] for line in record.read_text().splitlines()]
    return [(words[0].removeprefix("main_").removesuffix(".py"), tuple(words[1:])) for words in lines]


@cache
def composed(stage, words):
    """A command's config; of an experiment its cells."""
    if stage == "run_experiment":
        cfg, overrides = compose_experiment(words)
        return [cell for step in build_steps(cfg, overrides) for cell in step.cells]
    return compose_config(stage, *words)


@pytest.mark.parametrize(
    "script",
    slow_but(SCRIPTS, "0_quickstart.sh"),
)
def test_every_command_of_every_script_composes(script, tmp_path):
    called = commands(script, tmp_path)
    assert called
    for stage, words in called:
        assert stage in {*STAGES, "run_experiment"}
        assert all(words)
        assert composed(stage, words)


@pytest.mark.parametrize("script", [name for name in SCRIPTS if "movielens" in name])
def test_overrides_reach_the_experiment(script, tmp_path):
    overrides = ("dataset.raw_dir=elsewhere", "outputs_dir=there", "image_size=32", "num_workers=1")
    ((stage, words),) = commands(script, tmp_path, *overrides)
    assert (stage, words[-len(overrides) :]) == ("run_experiment", overrides)


def test_numbered_scripts_cover_four_datasets_and_say_what_they_cost():
    steps = ("initial", "tune", "baselines", "label_ratio")
    datasets = ("toys", "pinterest", "clothing", "movielens")
    expected = {
        f"{i}_{j}_{dataset}_{step}.sh" for i, dataset in enumerate(datasets, 1) for j, step in enumerate(steps, 1)
    }
    assert {name for name in SCRIPTS if not name.startswith("0")} == expected
    for name in expected:
        head = (ROOT / "bash_scripts" / name).read_text().split("source")[0]
        assert "GPU" in head
        assert "2 cores" in head


def test_a_second_command_is_not_run_after_a_failure(tmp_path):
    commands("4_1_movielens_initial.sh", tmp_path)
    (tmp_path / "venv" / "bin" / "python").write_text('#!/bin/sh\necho x >> "$RECORD"; exit 3\n')
    record = tmp_path / "record"
    record.unlink()
    answer = subprocess.run(
        ["bash", str(ROOT / "bash_scripts" / "4_1_movielens_initial.sh")],
        env=os.environ | {"VENV": str(tmp_path / "venv"), "RECORD": str(record)},
        timeout=60,
    )
    assert answer.returncode == 3
    assert record.read_text() == "x\n"
