"""The five commands as a user calls them: composition, errors, exit codes, multirun."""

import contextlib
import os
import pty
import subprocess
import sys
import threading

import lightning
import pytest
import torch
from hydra import initialize_config_dir
from PIL import Image

from src.console import quiet_lightning
from src.errors import ConfigError
from tests.pipeline import CONFIGS, ROOT, STAGES, compose_config, slow_but


def call(command, *overrides, cwd=ROOT):
    return subprocess.run(
        [sys.executable, str(ROOT / command), *overrides], cwd=cwd, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("stage", slow_but((*STAGES, "run_experiment"), "train_classifier"))
def test_help_and_a_mistyped_key(stage):
    assert call(f"main_{stage}.py", "--help").returncode == 0
    mistyped = call(f"main_{stage}.py", "outputs_dirr=x")
    assert mistyped.returncode == 1
    assert "outputs_dirr" in mistyped.stderr + mistyped.stdout


@pytest.mark.parametrize("group", slow_but(("dataset", "method", "backbone", "recommender", "optimizer"), "method"))
def test_an_unknown_choice_is_answered_with_the_known_ones(group):
    answer = call("main_train_classifier.py", f"{group}=nonsense")
    assert answer.returncode == 1
    assert f"Could not find '{group}/nonsense'" in answer.stdout
    assert "Traceback" not in answer.stderr + answer.stdout
    known = sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))
    assert known
    assert all(name in answer.stdout for name in known)


def test_a_mistyped_key_in_a_group(tmp_path):
    answer = call("main_train_classifier.py", "method.alhpa=1")
    assert answer.returncode == 1
    assert "There is no setting method.alhpa; did you mean alpha?" in answer.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "group"), [
    *(("prepare_dataset", "dataset"), ("train_recommender", "recommender")),
    *(("train_classifier", group) for group in ("dataset", "recommender", "backbone", "method", "optimizer")),
])  # fmt: skip
def test_every_config_composes(stage, group):
    for path in sorted((CONFIGS / group).glob("*.yaml")):
        needs = {"timm": ["backbone.architecture=test_resnet"], "external": ["recommender.file=x.npz"]}
        cfg = compose_config(stage, f"{group}={path.stem}", *needs.get(path.stem, []))
        assert getattr(cfg, group).name == ("test_resnet" if path.stem == "timm" else path.stem)


def test_a_device_that_is_not_there_is_named():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert compose_config("train_recommender", "trainer=ddp").trainer.strategy == "ddp"
    with pytest.raises(ConfigError, match=r"as trainer\.\* says: .*gpu"), quiet_lightning():
        lightning.Trainer(**compose_config("train_classifier", "trainer=gpu").trainer.devices_used)


@pytest.mark.slow
def test_every_preset_composes():
    for path in sorted((CONFIGS / "preset").glob("*.yaml")):
        compose_config("train_classifier", f"preset={path.stem}")


@pytest.mark.slow
def test_methods_list_equally_many_trials():
    counts = {}
    for path in sorted((CONFIGS / "method").glob("*.yaml")):
        trials = compose_config("train_classifier", f"method={path.stem}").method.trials
        if path.stem not in ("cf2label", "label_issues"):
            counts[path.stem] = len(trials)
    assert len(set(counts.values())) == 1, counts


def test_an_unprepared_dataset_is_one_sentence_and_exit_code_1(tmp_path):
    answer = call("main_train_classifier.py", f"outputs_dir={tmp_path}")
    assert answer.returncode == 1
    assert "run: python main_prepare_dataset.py dataset=emoji" in answer.stderr + answer.stdout
    assert "Traceback" not in answer.stderr


def test_a_running_command_composes_the_config_of_another_one():
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):  # as Hydra's main does
        assert compose_config("train_recommender", "fold=2").fold == 2


@pytest.mark.slow
def test_multirun_trains_every_combination(pipeline):
    overrides = pipeline.overrides("train_classifier")
    answer = call("main_train_classifier.py", "-m", "method=image_only,mtl_uniform", "seed=1,2", "epochs=1",
                  "recommender_seed=0", *overrides[:-1])  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert len(pipeline.runs("image_only")) == len(pipeline.runs("mtl_uniform")) == 2


@pytest.mark.slow
def test_the_folder_one_stands_in_changes_nothing(tmp_path, shared_pipeline):
    (tmp_path / "elsewhere").mkdir()
    given = [f"dataset.raw_dir={os.path.relpath(shared_pipeline.raw_dir, ROOT)}"]
    given += [f"outputs_dir={os.path.relpath(tmp_path / 'outputs', ROOT)}", "dataset=tabular", "dataset.store_size=32"]
    answer = call("main_prepare_dataset.py", *given, "figures=false", cwd=tmp_path / "elsewhere")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert (tmp_path / "outputs" / "tabular" / "prepared" / "manifest.json").is_file()
    shown = call("main_run_experiment.py", "experiment=table5", *given, "--dry-run", cwd=tmp_path / "elsewhere")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "Table 5" in shown.stdout
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.slow
def test_images_to_label_are_found_from_where_the_command_is_given(trained, tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "cat.jpg")
    given = [f"outputs_dir={trained.outputs_dir}", "dataset=tabular", "dataset.name=tiny", "images=cat.jpg"]
    answer = call("main_use_model.py", *given, cwd=tmp_path)
    assert "Labelled 1 images, 0 failed" in answer.stdout, answer.stdout + answer.stderr


def on_a_terminal(command, stream):
    """Run a command with one of stdout and stderr on a terminal and the other one in a pipe; what the pipe received."""
    master, slave = pty.openpty()
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: slave}
    process = subprocess.Popen(command, cwd=ROOT, text=True, **streams)
    os.close(slave)

    def drain():
        with contextlib.suppress(OSError):  # the terminal ends with the process
            while os.read(master, 65536):
                pass

    reader = threading.Thread(target=drain)
    reader.start()
    text = (process.stderr if stream == "stdout" else process.stdout).read()
    assert process.wait(timeout=300) == 0, text
    reader.join()
    os.close(master)
    return text


@pytest.mark.slow
@pytest.mark.parametrize("terminal", ["stdout", "stderr"])
def test_no_progress_bar_in_a_redirected_file(pipeline, terminal):
    for stage, overrides in (
        ("prepare_dataset", ["force=true"]),
        ("train_recommender", ["seed=1"]),
        ("train_classifier", ["method=image_only"]),
        ("predict_testset", []),
        ("use_model", [f"images={pipeline.raw_dir}"]),
        ("evaluate_methods", ["figures=false"]),
    ):
        words = [word for word in pipeline.overrides(stage) if word != "trainer.progress_bar=false"]
        text = on_a_terminal([sys.executable, f"main_{stage}.py", *words, *overrides], terminal)
        assert "\r" not in text, stage
        assert "it/s" not in text, stage
