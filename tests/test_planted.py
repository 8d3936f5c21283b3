"""Where CF must help, it does: on planted structure, at a label ratio of 0.2, on the test set."""

import pytest

from src.artifacts import Predictions
from src.evaluation.statistics.metrics import mean_average_precision
from tests.pipeline import Pipeline
from tests.planted import write_planted_dataset

RECOMMENDER = ("recommender.n_factors=32", "recommender.batch_size=256", "recommender.max_steps=500")
CLASSIFIER = (
    *RECOMMENDER,
    *("label_ratio=0.2", "epochs=20", "batch_size=32", "lr=0.005", "image_size=32", "cf2label.max_steps=300"),
    *("dataset.eval_crop=1.0", "augmentation.scale=[0.6,1.0]", "augmentation.horizontal_flip=0"),
)


@pytest.mark.slow
def test_cf_methods_beat_image_only_and_their_shuffled_controls(tmp_path):
    pipeline = Pipeline(write_planted_dataset(tmp_path / "raw"), tmp_path / "outputs")
    pipeline.run("prepare_dataset")
    pipeline.run("train_recommender", *RECOMMENDER)
    pipeline.classify("cf2label", *CLASSIFIER)
    pipeline.classify("cf2label", "method.vectors=shuffled", *CLASSIFIER)
    methods = ("image_only", "mtl_uniform", "mtl_shuffled", "cf_distill", "distill_shuffled")
    for method in methods:
        pipeline.classify(method, *CLASSIFIER)
    pipeline.run("predict_testset")
    score = {}
    for method in methods:
        (run,) = pipeline.runs(method)
        predictions = Predictions.load(run / "predictions.npz")
        score[method] = mean_average_precision(predictions.targets, predictions.scores)
    assert score["mtl_uniform"] > max(score["image_only"], score["mtl_shuffled"]), score
    assert score["cf_distill"] > max(score["image_only"], score["distill_shuffled"]), score
