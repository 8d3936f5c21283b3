"""kill -9 before and after each file gets its name, in every stage: the same command again ends as if never killed."""

import json
import multiprocessing
import os
import shutil
import signal

import pytest
import torch

from tests.pipeline import Pipeline

pytestmark = pytest.mark.slow

FORKS = multiprocessing.get_context("forkserver")  # of a process that has imported all, and done nothing
FORKS.set_forkserver_preload(
    [
        *(
            "tests.pipeline",
            "tests.test_kill_at_each_write",
            "src.classifiers.training.loop",
            "src.classifiers.finished_run",
        ),
        *(
            "src.recommenders.vae.training",
            "src.data.preparation.build",
            "src.deployment.export",
        ),
    ]
)
VARYING = ("wall_clock_s", "peak_memory_mb")


class Deadly:
    """Stands in for ``os.replace`` and ``os.rename``: counts calls, and kills the process before or after the nth."""

    def __init__(self, count, nth, after):
        self.count, self.nth, self.after = count, nth, after

    def around(self, rename):
        def renamed(*args, **kwargs):
            self.count.value += 1
            if self.count.value == self.nth and not self.after:
                os.kill(os.getpid(), signal.SIGKILL)
            rename(*args, **kwargs)
            if self.count.value == self.nth:
                os.kill(os.getpid(), signal.SIGKILL)

        return renamed


def work(outputs, raw_dir, stage, overrides, count, nth, after):
    """Run a stage, and die at its nth write."""
    torch.set_num_threads(1)
    deadly = Deadly(count, nth, after)
    os.replace, os.rename = deadly.around(os.replace), deadly.around(os.rename)
    Pipeline(raw_dir, outputs).run(stage, *overrides)


def run(outputs, raw_dir, stage, overrides, nth=0, after=False):
    """Run a stage in a process of its own; returns its exit status and number of writes."""
    count = FORKS.Value("i", 0)
    process = FORKS.Process(target=work, args=(outputs, raw_dir, stage, overrides, count, nth, after))
    process.start()
    process.join(300)
    return process.exitcode, count.value


def contents(outputs):
    """All results by path, manifests without times; checkpoints hold the progress of loops, which may differ."""
    found = {}
    for path in sorted(outputs.rglob("*")):
        if path.is_dir() or path.suffix in (".lock", ".ckpt", ".sha256"):
            continue
        content = path.read_bytes().replace(str(outputs).encode(), b"outputs")
        if path.name == "manifest.json":
            content = json.dumps({k: v for k, v in json.loads(content).items() if k not in VARYING})
        found[path.relative_to(outputs).as_posix()] = content
    return found


@pytest.mark.parametrize(
    ("before", "stage", "overrides"),
    [
        ((), "prepare_dataset", ("force=true", "figures=true")),
        ((), "train_recommender", ("force=true",)),
        ((), "train_classifier", ("method=cf2label", "label_ratio=0.7")),
        ((), "train_classifier", ("method=mtl_loss", "label_ratio=0.4")),
        ((("train_classifier", "method=image_only"),), "predict_testset", ()),
        ((("train_classifier", "method=image_only"), ("predict_testset",)), "evaluate_methods", ("figures=false",)),
        ((("train_classifier", "method=image_only"),), "use_model", ("export=safetensors",)),
    ],
    ids=["prepare", "recommender", "cf2label", "mtl_loss", "predict", "evaluate", "export"],
)
def test_the_same_command_ends_as_if_never_killed(pipeline, tmp_path, before, stage, overrides):
    settings = [value for value in pipeline.overrides("train_recommender") if value.startswith("recommender.")]
    overrides = (*overrides, *settings) if stage == "predict_testset" else overrides
    for earlier, *more in before:
        pipeline.run(earlier, *more)
    whole = tmp_path / "whole"
    shutil.copytree(pipeline.outputs_dir, whole)
    status, n_writes = run(whole, pipeline.raw_dir, stage, overrides)
    assert status == 0
    assert n_writes >= 2
    expected = contents(whole)
    for nth in range(1, n_writes + 1):
        killed = tmp_path / "killed"
        shutil.copytree(pipeline.outputs_dir, killed)
        status, _ = run(killed, pipeline.raw_dir, stage, overrides, nth, after=bool(nth % 2))
        assert status == -signal.SIGKILL
        status, _ = run(killed, pipeline.raw_dir, stage, overrides)
        assert status == 0
        found = contents(killed)
        assert set(found) == set(expected), nth
        assert [name for name in found if found[name] != expected[name]] == [], nth
        shutil.rmtree(killed)
