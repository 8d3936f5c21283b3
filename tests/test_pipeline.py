"""The five stages end to end on the tiny planted dataset."""

import json
import shutil

import numpy as np
import pytest
import yaml

from src.artifacts import Predictions
from src.data.folds import TEST, load_items
from src.errors import ArtifactError, ConfigError


@pytest.fixture(scope="session")  # the tests of a module may go to several workers and back
def finished(shared_pipeline, tmp_path_factory):
    pipeline = shared_pipeline.at(tmp_path_factory.mktemp("finished") / "outputs")
    shutil.copytree(shared_pipeline.outputs_dir, pipeline.outputs_dir)
    for method in ("image_only", "mtl_uniform", "cf_distill"):
        pipeline.classify(method, "label_ratio=0.4")
    pipeline.run("predict_testset")
    pipeline.run("evaluate_methods")
    return pipeline


def test_predictions_are_of_the_test_items_with_their_labels(finished):
    (run,) = finished.runs("image_only")
    predictions = Predictions.load(run / "predictions.npz")
    items = load_items(finished.outputs_dir / "tiny" / "prepared", 0)
    test = items[items["split"] == TEST].set_index("item_id")
    assert set(predictions.item_id) == set(test.index)
    for item, target in zip(predictions.item_id, predictions.targets, strict=True):
        assert set(predictions.labels[target == 1]) == set(test.loc[item, "labels"])
    assert ((predictions.scores >= 0) & (predictions.scores <= 1)).all()


def test_results_list_every_run(finished):
    runs = yaml.safe_load((finished.outputs_dir / "tiny" / "results.yaml").read_text())["runs"]
    by_method = {run["method"]: run for run in runs}
    assert set(by_method) == {"image_only", "mtl_uniform", "cf_distill"}
    assert by_method["image_only"]["recommender"] is None
    assert (by_method["mtl_uniform"]["alpha"], by_method["mtl_uniform"]["recommender"]) == (0.2, "vae")
    assert by_method["cf_distill"]["distill_lambda"] == 0.6
    assert {run["label_ratio"] for run in runs} == {0.4}


def test_the_evaluation_writes_tables_and_figures(finished):
    folder = finished.outputs_dir / "tiny" / "evaluation"
    suffixes = {path.suffix for path in folder.iterdir()}
    assert suffixes >= {".csv", ".md", ".tex", ".png", ".pdf", ".json"}
    text = next(folder.glob("methods_*.md")).read_text()
    assert all(name in text for name in ("image_only", "mtl_uniform", "cf_distill"))
    json.loads((folder / "results.json").read_text())


def test_evaluating_again_gives_the_same_bytes(finished):
    folder = finished.outputs_dir / "tiny" / "evaluation"
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    finished.run("evaluate_methods")
    assert before == {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_predicting_again_reuses_and_force_repeats_with_the_same_scores(finished):
    (run,) = finished.runs("mtl_uniform")
    before = Predictions.load(run / "predictions.npz").scores
    assert finished.run("predict_testset")["n_reused"] == 3
    assert finished.run("predict_testset", "force=true")["n_predicted"] == 3
    assert np.array_equal(before, Predictions.load(run / "predictions.npz").scores)


def test_tuning_runs_are_never_predicted(pipeline, tmp_path):
    tuned = pipeline.classify(
        "image_only", "tune=true", "study=tune", "seed=100", f"tuned_dir={tmp_path}", "lr=null", "epochs=1"
    )
    entry = yaml.safe_load((tmp_path / "tiny-test_resnet-image_only.yaml").read_text())["1"]
    assert len(entry["trials"]) == 4
    assert entry["settings"] == tuned["settings"]
    assert max(trial["val_mAP"] for trial in entry["trials"]) == pytest.approx(tuned["val_mAP"])
    with pytest.raises(ArtifactError, match=r"has no finished run of study 'main'; .*main_train_classifier\.py"):
        pipeline.run("predict_testset")


def test_tuning_needs_trials_and_a_study_of_its_own(pipeline):
    with pytest.raises(ConfigError, match="need a study and a seed of their own"):
        pipeline.classify("image_only", "tune=true")
    with pytest.raises(ConfigError, match="lists no settings to try"):
        pipeline.classify("image_only", "tune=true", "study=tune", "method.trials=[]")
    with pytest.raises(ConfigError, match=r"method\.trials sets \['epochs'\]"):
        pipeline.classify("image_only", "tune=true", "study=tune", "method.trials=[{epochs:3}]")


def test_runs_of_another_state_of_the_dataset_are_left_out(pipeline):
    pipeline.classify("image_only", "epochs=1")
    pipeline.run("prepare_dataset", "dataset.min_items_per_label=35")
    with pytest.raises(ArtifactError, match="no finished run"):
        pipeline.run("predict_testset")


def test_nothing_to_evaluate_names_the_command(pipeline):
    with pytest.raises(ArtifactError, match=r"main_predict_testset\.py"):
        pipeline.run("evaluate_methods")
