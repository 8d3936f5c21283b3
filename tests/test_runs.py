import logging
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from src.errors import ArtifactError
from src.runs import Run, content_hash


def run(parent, inputs="abc", lr=0.1):
    return Run(parent, "x", {"lr": lr}, {"items": inputs}, "python main_x.py lr=0.1")


def test_a_directory_is_named_by_what_defines_it(tmp_path):
    assert run(tmp_path).directory == run(tmp_path).directory
    assert run(tmp_path, lr=0.2).directory != run(tmp_path).directory != run(tmp_path, "new").directory
    made_from_a_run = Run(tmp_path, "y", {}, {"vectors": run(tmp_path)}, "")
    assert made_from_a_run.definition == {"settings": {}, "inputs": {"vectors": run(tmp_path).directory.name}}
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})


def test_a_missing_run_is_answered_with_its_command(tmp_path):
    with pytest.raises(ArtifactError, match=r"is needed, but is not finished; make it with: python main_x\.py lr=0\.1"):
        run(tmp_path).require()


def test_finished_runs_are_kept_and_force_starts_anew(tmp_path):
    first = run(tmp_path)
    with first.locked():
        assert not first.finished
        first.finish({"lr": 0.1}, {"mAP": 0.5})
    with run(tmp_path).locked():
        assert run(tmp_path).finished
        assert run(tmp_path).metrics() == {"mAP": 0.5}
    assert run(tmp_path).require() == first.directory
    with (forced := run(tmp_path)).locked(force=True):
        assert not forced.finished
        assert run(tmp_path).metrics() == {"mAP": 0.5}  # others still find the old one
        forced.finish({"lr": 0.1}, {"mAP": 0.6})
    assert forced.directory == first.directory
    assert run(tmp_path).metrics() == {"mAP": 0.6}


@pytest.mark.parametrize("finished", [True, False], ids=["finished", "interrupted"])
def test_an_error_in_a_forced_run_leaves_the_old_one(tmp_path, finished):
    with (old := run(tmp_path)).locked():
        (old.directory / "last.ckpt").write_text("old")
        if finished:
            old.finish({}, {"mAP": 0.5})
    before = {path.name: path.read_bytes() for path in old.directory.iterdir()}

    def fail():
        with (forced := run(tmp_path)).locked(force=True):
            (forced.directory / "last.ckpt").write_text("new")
            raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fail()
    assert {path.name: path.read_bytes() for path in old.directory.iterdir()} == before
    assert list(tmp_path.rglob("last.ckpt")) == [old.directory / "last.ckpt"]


def test_a_process_killed_between_the_renames_of_a_forced_run_loses_nothing(tmp_path):
    with (old := run(tmp_path)).locked():
        old.finish({}, {"mAP": 0.5})
    (tmp_path / ".old").mkdir()
    old.directory.rename(tmp_path / ".old" / old.directory.name)
    with run(tmp_path).locked():
        assert run(tmp_path).metrics() == {"mAP": 0.5}


def test_a_run_of_other_inputs_is_called_stale(tmp_path, caplog):
    with (first := run(tmp_path)).locked():
        first.finish({}, {})
    with caplog.at_level(logging.WARNING), run(tmp_path, "new").locked():
        pass
    assert "other inputs (items); it is stale" in caplog.text


@pytest.mark.parametrize("n_processes", [3])
def test_processes_that_want_the_same_run_take_turns(tmp_path, n_processes):
    script = textwrap.dedent(
        f"""
        import sys, time
        from pathlib import Path
        from src.runs import Run
        run = Run(Path({str(tmp_path)!r}), "x", {{}}, {{}}, "")
        with run.locked():
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
