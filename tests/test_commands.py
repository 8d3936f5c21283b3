"""The five commands as a user calls them: composition, errors, exit codes, multirun."""

import subprocess
import sys

import lightning
import pytest
import torch

from src.console import quiet_lightning
from src.errors import ConfigError
from tests.pipeline import CONFIGS, ROOT, STAGES, compose_config


def call(command, *overrides, cwd=ROOT):
    return subprocess.run(
        [sys.executable, str(ROOT / command), *overrides], cwd=cwd, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("stage", [*STAGES, "run_experiment"])
def test_help_and_a_mistyped_key(stage):
    assert call(f"main_{stage}.py", "--help").returncode == 0
    mistyped = call(f"main_{stage}.py", "outputs_dirr=x")
    assert mistyped.returncode == 1
    assert "outputs_dirr" in mistyped.stderr + mistyped.stdout


@pytest.mark.parametrize("group", ["dataset", "method", "backbone", "recommender", "optimizer"])
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
        if path.stem != "cf2label":
            counts[path.stem] = len(trials)
    assert len(set(counts.values())) == 1, counts


def test_an_unprepared_dataset_is_one_sentence_and_exit_code_1(tmp_path):
    answer = call("main_train_classifier.py", f"outputs_dir={tmp_path}")
    assert answer.returncode == 1
    assert "run: python main_prepare_dataset.py dataset=emoji" in answer.stderr + answer.stdout
    assert "Traceback" not in answer.stderr


@pytest.mark.slow
def test_multirun_trains_every_combination(pipeline):
    overrides = pipeline.overrides("train_classifier")
    answer = call("main_train_classifier.py", "-m", "method=image_only,mtl_uniform", "seed=1,2", "epochs=1",
                  "recommender_seed=0", *overrides[:-1])  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert len(pipeline.runs("image_only")) == len(pipeline.runs("mtl_uniform")) == 2
