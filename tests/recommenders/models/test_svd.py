import numpy as np
import pytest

from src.config.classifiers import TrainerConfig
from src.recommenders.auc import recommender_auc
from src.recommenders.interactions import hold_out
from src.recommenders.models.svd import SVDConfig
from tests.recommenders.planted import block_matrix


def fitted(matrix, seed=3, **settings):
    model = SVDConfig(**settings).build(TrainerConfig())
    model.fit(matrix, seed)
    return model


def test_scores_are_those_of_a_dense_svd():
    matrix = block_matrix(90, 24, per_user=5, seed=2)
    dense = matrix.toarray().astype(float)
    of_user, of_item = dense.sum(axis=1), dense.sum(axis=0)
    _, values, directions = np.linalg.svd(dense / of_user[:, None] ** 0.3 / of_item**0.4)
    kept = directions[:5].T * (values[:5] / values[0])
    expected = (dense / of_item**0.4) @ directions[:5].T @ kept.T * of_item**0.2
    model = fitted(matrix, n_factors=5, user_power=0.3, item_power=0.4, popularity=0.2, spectrum=1.0)
    np.testing.assert_allclose(model.user_scores(np.arange(90)), expected, atol=1e-4)


def test_learns_planted_blocks_and_repeats_itself():
    train, test = hold_out(block_matrix(), 0.2, np.random.default_rng(0))
    models = [fitted(train, n_factors=3) for _ in range(2)]
    assert (
        recommender_auc(models[0].user_scores, train, test).strict > 0.85
    )  # .885: in-block negatives are as likely as positives
    first, second = (model.item_factors() for model in models)
    assert first.vectors.tobytes() == second.vectors.tobytes()
    assert first.vectors.dtype == first.bias.dtype == np.float32
    assert first.vectors.shape == (60, 3)


@pytest.mark.parametrize("n_factors", [64, 1000])
def test_it_has_at_most_as_many_factors_as_the_matrix(n_factors):
    assert fitted(block_matrix(40, 30), n_factors=n_factors).item_factors().vectors.shape == (30, 29)
