"""Fixtures: the tiny planted dataset, prepared once, with CF vectors and CF2Label of fold 0."""

import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from tests.data.tiny import write_tiny_dataset
from tests.pipeline import Pipeline

torch.set_num_threads(1)  # tiny networks gain nothing from more
settings.register_profile("repeatable", derandomize=True)  # --hypothesis-profile=default draws other cases each time
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def shared_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """Prepared, with the vectors of fold 0; shared by tests, which must not write into it."""
    folder = tmp_path_factory.mktemp("tiny")
    pipeline = Pipeline(write_tiny_dataset(folder / "raw"), folder / "outputs")
    pipeline.run("prepare_dataset")
    pipeline.run("train_recommender")
    pipeline.classify("cf2label")
    pipeline.classify("cf2label", "label_ratio=0.4")
    return pipeline


@pytest.fixture(scope="session")
def trained(shared_pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """The shared pipeline with one fine-tuned and predicted network; tests may add to it, but change nothing."""
    pipeline = shared_pipeline.at(tmp_path_factory.mktemp("trained") / "outputs")
    shutil.copytree(shared_pipeline.outputs_dir, pipeline.outputs_dir)
    pipeline.classify("mtl_uniform", "alpha=0.2")
    pipeline.run("predict_testset")
    return pipeline


@pytest.fixture
def pipeline(shared_pipeline: Pipeline, tmp_path: Path) -> Pipeline:
    """A copy of the shared pipeline's outputs for one test to change."""
    shutil.copytree(shared_pipeline.outputs_dir, tmp_path / "outputs")
    return shared_pipeline.at(tmp_path / "outputs")
