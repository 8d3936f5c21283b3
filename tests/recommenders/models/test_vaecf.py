import numpy as np

from src.config.classifiers import TrainerConfig
from src.recommenders.auc import recommender_auc
from src.recommenders.interactions import hold_out
from src.recommenders.models.vaecf import VAECFConfig
from tests.recommenders.planted import block_matrix


def test_learns_planted_blocks_and_its_factors_give_its_scores():
    train, test = hold_out(block_matrix(), 0.2, np.random.default_rng(0))
    model = VAECFConfig(n_factors=8, latent_size=4, batch_size=64, n_epochs=40).build(TrainerConfig())
    model.fit(train, 5)
    assert recommender_auc(model.user_scores, train, test).strict > 0.8
    factors, scores = model.item_factors(), model.user_scores(np.arange(50))
    assert factors.vectors.shape == (60, 8)
    solved, *_ = np.linalg.lstsq(factors.vectors, (scores - factors.bias).T, rcond=None)
    np.testing.assert_allclose(factors.vectors @ solved, (scores - factors.bias).T, atol=1e-3)
