"""Image and interactions together: fitted on validation, without test labels, and better than either alone."""

import shutil

import numpy as np
import pandas as pd
import pytest

from src.artifacts import PREPARED, Predictions
from src.data.folds import TEST, VAL, open_fold
from src.deployment.fusion import CFScores
from src.errors import ArtifactError
from src.evaluation.statistics.metrics import mean_average_precision
from src.files import load_json, load_yaml

LEAKY = "leaks=[held_out_interactions]"


@pytest.fixture(scope="module")
def fused(shared_pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fused") / "outputs"
    shutil.copytree(shared_pipeline.outputs_dir, folder)
    pipeline = shared_pipeline.at(folder)
    for method in ("image_only", "mtl_uniform"):
        pipeline.classify(method, "epochs=1", "lr=0.0005")  # images alone should not be enough
    pipeline.run("train_recommender", LEAKY)
    settings = [value for value in pipeline.overrides("train_recommender") if value.startswith("recommender.")]
    return pipeline, pipeline.run("predict_testset", "fusion=true", *settings)


def predictions(pipeline, entry):
    return Predictions.load(pipeline.outputs_dir / "tiny" / entry["run"] / "predictions.npz")


@pytest.mark.slow
def test_each_run_is_fused_and_compared_with_the_image_and_with_cf_alone(fused):
    pipeline, metrics = fused
    assert metrics["n_runs"] == 2
    assert metrics["cf_weight"] > 0.1
    root = pipeline.outputs_dir / "tiny"
    entries = [entry for entry in load_yaml(root / "results.yaml")["runs"] if entry["study"] == "main_fusion"]
    by_method = {entry["method"]: predictions(pipeline, entry) for entry in entries}
    assert len(entries) == len(by_method) == 5
    score = {name: mean_average_precision(each.targets, each.scores) for name, each in by_method.items()}
    for method in ("image_only", "mtl_uniform"):
        assert score[method] < score["cf_only"]
        assert score[f"{method}+cf"] > max(score[method], 0.98 * score["cf_only"])
    result = pipeline.run("evaluate_methods", "study=main_fusion", "figures=false")
    methods = [row["name"] for row in result["settings"][0]["methods"]]
    assert methods[0] == "image_only"
    assert set(methods) == set(by_method)
    pipeline.run("predict_testset")
    again = load_yaml(root / "results.yaml")["runs"]
    assert sum(entry["study"] == "main" for entry in again) == 2


@pytest.mark.slow
def test_cf2label_sees_no_held_out_label_and_covers_all_held_out_items(fused):
    pipeline, _ = fused
    fold = open_fold(pipeline.outputs_dir / "tiny" / PREPARED, 0)
    entry = next((pipeline.outputs_dir / "tiny" / "fusion" / "cf_only").glob("*/predictions.npz"))
    found = Predictions.load(entry)
    assert set(found.item_id) == set(fold.split(TEST)["item_id"])
    assert len(np.unique(found.scores, axis=0)) > len(found.item_id) // 2
    assert load_json(entry.with_name("weights.json"))["image"] > 0
    assert len(fold.split(VAL))


def test_an_item_without_vector_gets_the_prevalence():
    scores = CFScores(pd.DataFrame([[0.9, 0.1], [0.2, 0.8]], ["a", "b"]), np.array([0.3, 0.6]))
    probs, has_vector = scores.of(np.array(["b", "c"]))
    assert probs.tolist() == [[0.2, 0.8], [0.3, 0.6]]
    assert has_vector.tolist() == [True, False]


def test_the_missing_cf_model_is_asked_for_and_no_training_run_takes_it(pipeline):
    pipeline.classify("image_only", "epochs=1")
    with pytest.raises(ArtifactError, match=r"main_train_recommender.py .*leaks=\[held_out_interactions\]"):
        pipeline.run("predict_testset", "fusion=true")


@pytest.mark.slow
def test_the_original_protocol_may_train_on_leaky_vectors(pipeline):
    leaks = "leaks=[test_epoch,held_out_interactions]"
    pipeline.run("train_recommender", leaks)
    pipeline.classify("cf2label", leaks, "study=leaky")
    assert pipeline.classify("mtl_loss", leaks, "study=leaky", "alpha=0.2")["val_mAP"] > 0
