"""The image as prior of CF vectors: against scikit-learn, by hand, and what an item's own vector may not do."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from src.classifiers.runs import cf2label_run, load_fold
from src.classifiers.settings import resolve
from src.classifiers.targets import image_prior
from src.classifiers.targets.image_prior import N_FOLDS, assign_folds, predict_out_of_fold, with_image_prior
from src.recommenders.vectors import CFVectors

GROUPS = np.array([f"g{i // 2}" for i in range(400)])


@pytest.fixture
def planted():
    """Features, vectors that follow from them but for noise, and how much each counts."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 12)).astype(np.float32) * np.arange(1, 13, dtype=np.float32) + 5
    vectors = (features @ rng.normal(size=(12, 3)) * 0.1 + 0.3 * rng.normal(size=(400, 3)) + 2).astype(np.float32)
    return features, vectors, rng.random(400).astype(np.float32)


def test_it_is_the_ridge_regression_of_the_other_groups(planted, monkeypatch):
    features, vectors, weight = planted
    monkeypatch.setattr(image_prior, "PENALTIES", np.array([0.5]))
    mean = np.average(features, axis=0, weights=weight)
    x = (features - mean) / np.sqrt(np.average(np.square(features - mean), axis=0, weights=weight))
    fold, expected = assign_folds(GROUPS, np.ones(400, dtype=bool), N_FOLDS), np.empty_like(vectors)
    for held in range(N_FOLDS):
        rest = fold != held
        model = Ridge(alpha=0.5 * weight.sum()).fit(x[rest], vectors[rest], sample_weight=weight[rest])
        expected[~rest] = model.predict(x[~rest])
    assert np.allclose(predict_out_of_fold(features, vectors, weight, GROUPS), expected, atol=1e-4)


def test_the_best_penalty_is_taken(planted):
    features, vectors, weight = planted
    assert np.corrcoef(predict_out_of_fold(features, vectors, weight, GROUPS).ravel(), vectors.ravel())[0, 1] > 0.9
    noise = np.random.default_rng(1).normal(size=vectors.shape).astype(np.float32)
    assert np.abs(predict_out_of_fold(features, noise, weight, GROUPS)).max() < 0.3


def test_vectors_of_a_group_do_not_reach_its_prediction(planted, monkeypatch):
    monkeypatch.setattr(image_prior, "PENALTIES", np.array([0.5]))
    features, vectors, weight = planted
    before, changed = predict_out_of_fold(*planted, GROUPS), vectors.copy()
    changed[:2] += 100
    after = predict_out_of_fold(features, changed, weight, GROUPS)
    fold = assign_folds(GROUPS, np.ones(400, dtype=bool), N_FOLDS)
    assert np.array_equal(before[fold == fold[0]], after[fold == fold[0]])
    assert not np.allclose(before[fold != fold[0]], after[fold != fold[0]])


def test_the_fewer_users_the_more_the_image_counts(planted):
    features, vectors, _ = planted
    n_users = np.tile([0, 30, 300, 10**9], 100)
    present = n_users > 0
    cf = CFVectors(np.where(present[:, None], vectors, 0), np.zeros(400, np.float32), n_users, present)
    found = with_image_prior(cf, features, GROUPS, strength=30.0)
    share = (n_users / (n_users + 30)).astype(np.float32)
    prior = predict_out_of_fold(features, cf.vectors, share, GROUPS)
    assert np.array_equal(found.vectors[::4], prior[::4])
    assert np.allclose(found.vectors[1::4], (vectors[1::4] + prior[1::4]) / 2, atol=1e-5)
    assert np.allclose(found.vectors[3::4], vectors[3::4], atol=1e-5)
    assert found.present.all()
    assert np.array_equal(found.n_users, n_users)


def test_features_that_do_not_vary_and_items_nobody_used_are_no_fault(planted):
    features, vectors, _ = planted
    features[:, 3] = 7
    nobody = CFVectors(0 * vectors, np.zeros(400, np.float32), np.zeros(400, int), np.zeros(400, bool))
    assert not with_image_prior(nobody, features, GROUPS, 300.0).vectors.any()


def test_a_run_of_such_vectors_has_a_name_and_a_cf2label_of_its_own(pipeline):
    def run(*overrides):
        cfg = resolve(pipeline.config("train_classifier", "label_ratio=0.4", *overrides))
        return cf2label_run(cfg, load_fold(cfg))

    plain, prior = run("method=cf_distill"), run("method=distill_prior")
    assert plain.directory != prior.directory != run("method=distill_prior", "method.prior_users=30").directory
    assert "method.prior_users=300" in prior.command
    pipeline.run("train_classifier", "method=cf2label", "method.prior_users=300", "label_ratio=0.4")
    metrics = pipeline.run("train_classifier", "method=distill_prior", "label_ratio=0.4")
    assert prior.finished
    assert prior.metrics()["n_without_vector"] == 0
    assert metrics["val_mAP"] > 0
