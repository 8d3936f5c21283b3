"""AUC of a VAE, 100,000 users x 20,000 items, 300,000 interactions: Cornac's ``RatioSplit``, ``AUC`` against ours.

Each scores a VAE of its own, of the same architecture (items-64-32), with weights as good as random: the time does not
depend on them. Cornac evaluates 500 users, ours all: the rate of either does not depend on their number.
"""

import numpy as np

from benchmarks.interactions import generate
from benchmarks.measure import compare, timed
from src.recommenders.interactions import hold_out

N_USERS, N_ITEMS, N_INTERACTIONS, N_SCORED = 100_000, 20_000, 300_000, 500


def peer() -> tuple[float, float]:
    """Cornac's loop over users."""
    import cornac
    from cornac.eval_methods.base_method import ranking_eval

    coo = generate(N_USERS, N_ITEMS, N_INTERACTIONS).tocoo()
    triples = list(zip(coo.row.tolist(), coo.col.tolist(), coo.data.tolist(), strict=True))
    split = cornac.eval_methods.RatioSplit(triples, test_size=0.2, seed=0)
    model = cornac.models.VAECF(k=32, autoencoder_structure=[64], act_fn="tanh", likelihood="mult", n_epochs=0, seed=0)
    model.fit(split.train_set)
    test = split.test_set
    scored = np.unique(test.uir_tuple[0])[:N_SCORED]
    test.uir_tuple = tuple(column[np.isin(test.uir_tuple[0], scored)] for column in test.uir_tuple)
    return N_SCORED, timed(lambda: ranking_eval(model, [cornac.metrics.AUC()], split.train_set, test))


def ours() -> tuple[float, float]:
    """All users in chunks."""
    from src.config.classifiers import TrainerConfig
    from src.recommenders.auc import recommender_auc
    from src.recommenders.models.vae import VAEConfig, VAERecommender

    rest, test = hold_out(generate(N_USERS, N_ITEMS, N_INTERACTIONS), 0.2, np.random.default_rng(0))
    cfg = VAEConfig(n_factors=64, latent_size=32, batch_size=256, max_steps=1)
    model = VAERecommender(cfg, TrainerConfig(accelerator="cpu", progress_bar=False))
    model.fit(rest, seed=0)
    results = []
    seconds = timed(lambda: results.append(recommender_auc(model.user_scores, rest, test)))
    return results[0].n_users, seconds


if __name__ == "__main__":
    compare("auc", "users", {"Cornac AUC": peer, "ours": ours}, target=50.0)
