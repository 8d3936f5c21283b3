"""One door: a command of a single stage and the experiment runner name the same runs, for every dataset."""

import pytest

from src.config.setting import identity
from src.entry import with_preset
from src.experiments.run import compose_experiment
from src.experiments.steps import compose_once
from tests.pipeline import CONFIGS, compose_config, slow_but

DATASETS = sorted(path.stem for path in (CONFIGS / "dataset").glob("*.yaml") if path.stem not in ("all", "tabular"))
METHODS = ("image_only", "mtl_loss", "cf_distill")


@pytest.mark.parametrize("dataset", slow_but(DATASETS, "emoji"))
def test_the_same_command_gives_the_same_run(dataset):
    given = ["label_ratio=0.2", "fold=1", "seed=1"]
    _, overrides = compose_experiment(
        ["experiment=table5", f"dataset={dataset}", f"methods=[{','.join(METHODS)}]", "batch_size=48"]
    )
    for method in METHODS:
        alone = compose_config("train_classifier", f"dataset={dataset}", f"method={method}", "batch_size=48", *given)
        cell = (*overrides.stages["train_classifier"], f"method={method}", *given)
        together = compose_once("train_classifier", cell)
        assert identity(alone) == identity(together)
        assert identity(alone.recommender) == identity(together.recommender)
        assert alone.batch_size == 48


@pytest.mark.parametrize("dataset", [name for name in DATASETS if (CONFIGS / "preset" / f"{name}.yaml").is_file()])
def test_a_datasets_preset_is_found_unless_another_is_named(dataset):
    assert with_preset([f"dataset={dataset}", "epochs=1"]) == [f"preset={dataset}", f"dataset={dataset}", "epochs=1"]
    for own in ("preset=none", "preset=toys"):
        assert with_preset([f"dataset={dataset}", own]) == [f"dataset={dataset}", own]
    assert compose_config("train_classifier", f"dataset={dataset}").dataset.name == dataset


def test_without_a_dataset_the_defaults_preset_is_found():
    assert with_preset(["epochs=1", "-m"]) == ["preset=emoji", "epochs=1", "-m"]
    assert with_preset(["--multirun", "seed=1,2"]) == ["--multirun", "preset=emoji", "seed=1,2"]
    assert with_preset(["-m"]) == ["-m", "preset=emoji"]
    assert with_preset(["dataset=tabular"]) == ["dataset=tabular"]
