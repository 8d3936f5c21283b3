"""The VAE with a sampled softmax against the exact one: users a second and AUC, 50,000 users x 100,000 items.

Generated interactions with something to learn: an item belongs to one of 200 topics, a user likes three of them and
takes popular items of these. All runs take the same steps from the same weights.
"""

import numpy as np
from scipy import sparse

from benchmarks.measure import save, timed
from src.config.classifiers import TrainerConfig
from src.recommenders.auc import recommender_auc
from src.recommenders.interactions import hold_out
from src.recommenders.models.vae import VAEConfig, VAERecommender

N_USERS, N_ITEMS, N_TOPICS, N_EACH, N_EVALUATED = 50_000, 100_000, 200, 30, 1000
STEPS, BATCH = 400, 256


def generate(rng: np.random.Generator) -> sparse.csr_matrix:
    """Binary user x item matrix with planted topics, CSR float32."""
    per_topic = N_ITEMS // N_TOPICS
    topic = rng.integers(0, N_TOPICS, (N_USERS, 3))[np.arange(N_USERS)[:, None], rng.integers(0, 3, (N_USERS, N_EACH))]
    item = topic + N_TOPICS * (per_topic * rng.random((N_USERS, N_EACH)) ** 2).astype(int)
    matrix = sparse.csr_matrix(
        (np.ones(item.size, np.float32), (np.repeat(np.arange(N_USERS), N_EACH), item.ravel())), (N_USERS, N_ITEMS)
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def main() -> None:
    """Fit with each sample size and write JSON."""
    rest, test = hold_out(generate(np.random.default_rng(0)), 0.2, np.random.default_rng(1))
    rows = []
    for sampled in (None, 10_000, 1_000, 100):
        cfg = VAEConfig(max_steps=STEPS, batch_size=BATCH, sampled_items=sampled)
        model = VAERecommender(cfg, TrainerConfig(accelerator="cpu", progress_bar=False))
        seconds = timed(lambda model=model: model.fit(rest, seed=0))  # type: ignore[misc]
        auc = recommender_auc(model.user_scores, rest, test[:N_EVALUATED]).strict
        rows.append({"sampled_items": sampled, "users_a_second": STEPS * BATCH / seconds, "AUC": auc})
        print(rows[-1], flush=True)
    save("sampled_softmax", {"n_items": N_ITEMS, "steps": STEPS, "batch_size": BATCH, "rows": rows})


if __name__ == "__main__":
    main()
