"""Overrides of an experiment reach the stages that know them, and no other."""

import pytest

from src.errors import ConfigError
from src.experiments.overrides import sort_overrides


def test_each_override_goes_to_all_that_have_such_a_setting():
    given = sort_overrides([
        *("experiment=table5", "dataset=toys", "folds=[0,1]"),
        *("dataset.raw_dir=x", "recommender.max_steps=5", "+optimizer.lr=1", "num_workers=1", "n_resamples=9"),
        *("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "backbone=resnet18"),
    ])  # fmt: skip
    assert given.own == ["experiment=table5", "dataset=toys", "folds=[0,1]"]
    assert given.launcher == ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    assert given.stages == {
        "prepare_dataset": ["dataset.raw_dir=x", "num_workers=1"],
        "train_recommender": ["dataset.raw_dir=x", "recommender.max_steps=5"],
        "train_classifier": ["dataset.raw_dir=x", "recommender.max_steps=5", "+optimizer.lr=1", "backbone=resnet18"],
        "predict_testset": ["dataset.raw_dir=x", "recommender.max_steps=5"],
        "evaluate_methods": ["dataset.raw_dir=x", "n_resamples=9"],
    }


@pytest.mark.parametrize(("override", "message"), [
    ("epochss=3", "setting 'epochss'"),
    ("fold=1", r"instead of fold=1 give folds=\[0,1\]"),
    ("force=true", "the stage's own command"),
    ("=3", "should read KEY=VALUE"),
])  # fmt: skip
def test_what_nobody_knows_is_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        sort_overrides([override])
