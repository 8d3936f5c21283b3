import logging
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from src.runs import Run, content_hash, derive_seed, run_directory

DEFINITION = {"settings": {"lr": 0.1}, "inputs": {"items": "abc"}}


def test_seeds_depend_on_seed_and_names():
    assert derive_seed(0, "a", 1) == derive_seed(0, "a", 1)
    seeds = {derive_seed(seed, name, step) for seed in range(3) for name in ("a", "b") for step in range(3)}
    assert len(seeds) == 18
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_directory_is_named_by_what_defines_it(tmp_path):
    same = {"inputs": {"items": "abc"}, "settings": {"lr": 0.1}}
    assert run_directory(tmp_path, "x", DEFINITION) == run_directory(tmp_path, "x", same)
    assert run_directory(tmp_path, "x", DEFINITION) != run_directory(tmp_path, "x", {**DEFINITION, "inputs": {}})
    assert content_hash(DEFINITION) == content_hash(same)


def test_finished_runs_are_kept_and_force_starts_anew(tmp_path):
    with Run(tmp_path, "x", DEFINITION) as run:
        assert not run.finished
        run.finish({"lr": 0.1}, {"mAP": 0.5})
    with Run(tmp_path, "x", DEFINITION) as run:
        assert run.finished
        assert run.metrics() == {"mAP": 0.5}
    with Run(tmp_path, "x", DEFINITION, force=True) as run:
        assert not run.finished


def test_a_run_of_other_inputs_is_called_stale(tmp_path, caplog):
    with Run(tmp_path, "x", DEFINITION) as run:
        run.finish({}, {})
    with caplog.at_level(logging.WARNING), Run(tmp_path, "x", {**DEFINITION, "inputs": {"items": "new"}}):
        pass
    assert "other inputs (items); it is stale" in caplog.text


@pytest.mark.parametrize("n_processes", [3])
def test_processes_that_want_the_same_run_take_turns(tmp_path, n_processes):
    script = textwrap.dedent(
        f"""
        import sys, time
        from pathlib import Path
        from src.runs import Run
        with Run(Path({str(tmp_path)!r}), "x", {{}}) as run:
            if not run.finished:
                with Path({str(tmp_path / "log")!r}).open("a") as log:
                    log.write("start\\n"); log.flush(); time.sleep(0.3); log.write("end\\n")
                run.finish({{}}, {{}})
        """
    )
    root = Path(__file__).parents[1]
    processes = [subprocess.Popen([sys.executable, "-c", script], cwd=root) for _ in range(n_processes)]
    assert [process.wait(timeout=60) for process in processes] == [0] * n_processes
    assert (tmp_path / "log").read_text().split() == ["start", "end"]
