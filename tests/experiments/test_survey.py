"""What there is of an experiment is found where the stages wrote it."""

import json

import pytest

from src.artifacts import MANIFEST_FILE
from src.classifiers.settings import resolve, tuned_path, tuned_with
from src.errors import ArtifactError
from src.experiments.plan import build_steps
from src.experiments.run import compose_experiment, describe
from src.experiments.survey import BEGUN, FINISHED, MISSING, survey
from src.files import save_yaml


def arguments_of(pipeline, *more):
    own = ("dataset=tabular", "trainer.progress_bar=false")
    return [*own, *(o for o in pipeline.overrides("train_classifier") if o not in own), *more]


def surveyed(pipeline, *more):
    cfg, overrides = compose_experiment(arguments_of(pipeline, *more))
    steps = build_steps(cfg, overrides)
    return cfg, overrides, steps, survey(steps)


def test_runs_are_found_by_what_defines_them(pipeline):
    pipeline.classify("image_only")
    experiment = ("experiment=table5", "methods=[image_only,mtl_loss]", "folds=[0]")
    cfg, overrides, steps, cells = surveyed(pipeline, *experiment)
    assert [[cell.state for cell in step] for step in cells] == [
        *([FINISHED], [FINISHED], [FINISHED], [MISSING]),
    ]
    assert [run.directory for run in cells[2][0].runs] == pipeline.runs("image_only")
    text = describe(cfg, overrides, steps, cells, every_cell=True)
    assert "method=mtl_loss label_ratio=1.0 fold=0 seed=0: missing, about" in text
    assert surveyed(pipeline, *experiment, "lr=0.02")[3][2][0].state == MISSING


@pytest.mark.slow
def test_estimates_come_from_finished_runs_of_the_same_cost(pipeline):
    pipeline.classify("image_only")
    path = pipeline.runs("image_only")[0] / MANIFEST_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "wall_clock_s": 120.0}))
    cells = surveyed(pipeline, "experiment=table5", "methods=[image_only]", "folds=[0]", "seeds=[0,1]")[3][0]
    assert [(cell.state, cell.seconds) for cell in cells] == [(FINISHED, 0.0), (MISSING, 120.0)]
    longer = surveyed(pipeline, "experiment=table5", "methods=[image_only]", "folds=[0]", "epochs=5")[3][0]
    assert longer[0].seconds is None
    other_method = surveyed(pipeline, "experiment=table5", "methods=[contrastive]", "folds=[0]")[3][-1]
    assert other_method[0].seconds == 120.0


def test_a_run_without_manifest_is_begun_and_tuning_has_one_run_a_trial(pipeline):
    tuning = ("experiment=tune", "methods=[image_only]", "lr=null")
    cell = surveyed(pipeline, *tuning)[3][-1][0]
    assert len(cell.runs) == 4
    cell.runs[1].directory.mkdir(parents=True)
    assert surveyed(pipeline, *tuning)[3][-1][0].state == BEGUN


def test_a_search_is_finished_once_its_trials_are_all_in_the_tuned_config(pipeline, tmp_path):
    found = {"lr": 0.002, "steps": 300, "hidden_size": 0, "dropout": 0.2}
    tuning = ("experiment=tune", "methods=[image_only]", "label_ratios=[0.2]", f"tuned_dir={tmp_path}", "n_trials=2")
    cell = surveyed(pipeline, *tuning)[3][-1][0]
    trials = [{"settings": found, "val_mAP": 0.5}, {"settings": {**found, "lr": 0.02}, "val_mAP": None}]  # one pruned
    cfg = cell.cell.config
    entry = {"settings": found, "trials": trials, "made_with": tuned_with(resolve(cfg))}
    save_yaml(tuned_path(cfg, "image_only"), {"0.2": entry})
    ended = surveyed(pipeline, *tuning)[3][-1][0]
    assert [run.settings["lr"] for run in ended.runs] == [0.002]
    assert ended.state == MISSING
    ended.runs[0].directory.mkdir(parents=True)
    manifest = {"definition": {"settings": {}}, "wall_clock_s": 1.0}
    (ended.runs[0].directory / MANIFEST_FILE).write_text(json.dumps(manifest))
    assert surveyed(pipeline, *tuning)[3][-1][0].state == FINISHED
    more = surveyed(pipeline, *tuning[:-1], "n_trials=3")[3][-1][0]
    assert len(more.runs) == 4  # those that the method lists, which the search starts with


def test_an_unprepared_dataset_is_named(pipeline, tmp_path):
    with pytest.raises(ArtifactError, match="main_prepare_dataset"):
        surveyed(pipeline.at(tmp_path / "none"), "experiment=table5")
