"""What there is of an experiment is found where the stages wrote it."""

import json

import pytest

from src.artifacts import MANIFEST_FILE
from src.errors import ArtifactError
from src.experiments.plan import build_steps
from src.experiments.run import compose_experiment, describe
from src.experiments.survey import State, survey


def arguments_of(pipeline, *more):
    own = ("dataset=tabular", "trainer.progress_bar=false")
    return [*own, *(o for o in pipeline.overrides("train_classifier") if o not in own), *more]


def surveyed(pipeline, *more):
    cfg, overrides = compose_experiment(arguments_of(pipeline, *more))
    steps = build_steps(cfg, overrides)
    return cfg, steps, survey(steps)


def test_runs_are_found_by_what_defines_them(pipeline):
    pipeline.classify("image_only")
    experiment = ("experiment=table5", "methods=[image_only,mtl_loss]", "folds=[0]")
    cfg, steps, cells = surveyed(pipeline, *experiment)
    assert [[cell.state for cell in step] for step in cells] == [
        *([State.FINISHED], [State.FINISHED], [State.FINISHED], [State.MISSING]),
    ]
    assert cells[2][0].directories == pipeline.runs("image_only")
    text = describe(cfg, steps, cells, every_cell=True)
    assert "method=mtl_loss label_ratio=1.0 fold=0 seed=0: missing, about" in text
    assert surveyed(pipeline, *experiment, "lr=0.02")[2][2][0].state == State.MISSING


@pytest.mark.slow
def test_estimates_come_from_finished_runs_of_the_same_cost(pipeline):
    pipeline.classify("image_only")
    path = pipeline.runs("image_only")[0] / MANIFEST_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "wall_clock_s": 120.0}))
    cells = surveyed(pipeline, "experiment=table5", "methods=[image_only]", "folds=[0]", "seeds=[0,1]")[2][0]
    assert [(cell.state, cell.seconds) for cell in cells] == [(State.FINISHED, 0.0), (State.MISSING, 120.0)]
    longer = surveyed(pipeline, "experiment=table5", "methods=[image_only]", "folds=[0]", "epochs=5")[2][0]
    assert longer[0].seconds is None
    other_method = surveyed(pipeline, "experiment=table5", "methods=[contrastive]", "folds=[0]")[2][-1]
    assert other_method[0].seconds == 120.0


def test_a_run_without_manifest_is_begun_and_tuning_has_one_run_a_trial(pipeline):
    tuning = ("experiment=tune", "methods=[image_only]", "lr=null")
    cell = surveyed(pipeline, *tuning)[2][-1][0]
    assert len(cell.directories) == 4
    cell.directories[1].mkdir(parents=True)
    assert surveyed(pipeline, *tuning)[2][-1][0].state == State.BEGUN


def test_an_unprepared_dataset_is_named(pipeline, tmp_path):
    with pytest.raises(ArtifactError, match="main_prepare_dataset"):
        surveyed(pipeline.at(tmp_path / "none"), "experiment=table5")
