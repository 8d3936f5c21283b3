import cornac
import numpy as np
import pytest
from cornac.data import Dataset
from scipy import sparse

from src.config.classifiers import TrainerConfig
from src.errors import ConfigError
from src.recommenders.auc import recommender_auc
from src.recommenders.interactions import hold_out
from src.recommenders.models.cornac import BPRConfig, CornacConfig, CornacRecommender
from tests.recommenders.planted import block_matrix

CASES = {
    "BPR": {"max_iter": 20},
    "MF": {"max_iter": 5, "use_bias": True},
    "MF-": {"max_iter": 5, "use_bias": False},
    "PMF": {"max_iter": 5},
}


def cornac_dataset(matrix):
    entries = matrix.tocoo()
    users, items = ({index: index for index in range(size)} for size in matrix.shape)
    uir = (entries.row.astype(int), entries.col.astype(int), entries.data.astype(float))
    return Dataset(matrix.shape[0], matrix.shape[1], users, items, uir, seed=5)


@pytest.mark.parametrize("case", CASES)
def test_bias_is_taken_apart_and_scores_rank_as_cornac_does(case):
    name, params, matrix = case.removesuffix("-"), CASES[case], block_matrix(n_users=80)
    adapter = CornacRecommender(CornacConfig(n_factors=6, model=name, params=params))
    adapter.fit(matrix, 5)
    model = getattr(cornac.models, name)(k=6, seed=5, verbose=False, **params).fit(cornac_dataset(matrix))
    factors = adapter.item_factors()
    assert factors.vectors.shape == (60, 6)
    np.testing.assert_allclose(factors.vectors, getattr(model, "i_factors", getattr(model, "V", None)), rtol=1e-6)
    assert factors.bias.any() == (case in ("BPR", "MF"))
    for user in (0, 7):
        difference = adapter.user_scores(np.array([user]))[0] - model.score(user)
        if name != "PMF":  # squashes its scores, which keeps their order
            np.testing.assert_allclose(difference, difference[0], atol=1e-5)


def test_bpr_learns_planted_blocks_and_repeats_itself():
    train, test = hold_out(block_matrix(), 0.2, np.random.default_rng(0))
    models = [BPRConfig(n_factors=8, max_iter=60).build(TrainerConfig()) for _ in range(2)]
    for model in models:
        model.fit(train, 2**40 + 3)
    assert recommender_auc(models[0].user_scores, train, test).strict > 0.8
    assert models[0].item_factors().vectors.tobytes() == models[1].item_factors().vectors.tobytes()


def test_items_without_interactions_get_zeros():
    matrix = block_matrix(n_users=50)
    wider = sparse.hstack([sparse.csr_matrix((50, 1)), matrix]).tocsr().astype(np.float32)
    narrow, wide = (BPRConfig(n_factors=4, max_iter=3).build(TrainerConfig()) for _ in range(2))
    narrow.fit(matrix, 1)
    wide.fit(wider, 1)
    assert not wide.item_factors().vectors[0].any()
    np.testing.assert_array_equal(wide.item_factors().vectors[1:], narrow.item_factors().vectors)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "VAECF"}, "VAECF has no item vectors; set recommender.model to one that has, such as BPR"),
        ({"model": "MostPop"}, "MostPop has no item vectors"),
        ({"model": "Nonsense"}, "Cornac has no model named 'Nonsense'"),
        ({"model": "BPR", "params": {"lr": 1}}, "should be among .*learning_rate.*, but got lr"),
    ],
)
def test_errors_say_what_to_do(settings, message):
    with pytest.raises(ConfigError, match=message):
        CornacRecommender(CornacConfig(**settings))
