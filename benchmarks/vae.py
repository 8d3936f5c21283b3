"""One VAE epoch: 20,000 items, the same architecture (items-64-32, tanh, batches of 4,096 users), Cornac against ours.

By default two fifths of 100,000 users and 300,000 interactions; SHARE=1 runs all. An epoch's time grows with the users,
so the ratio does not depend on the share; the peak memory is that of the whole process.
"""

import os

from benchmarks.interactions import generate
from benchmarks.measure import compare, timed
from src.config.classifiers import TrainerConfig
from src.recommenders.models.vae import VAEConfig

SHARE = float(os.environ.get("SHARE", "0.4"))
N_USERS, N_ITEMS, N_INTERACTIONS, BATCH = int(100_000 * SHARE), 20_000, int(300_000 * SHARE), 4096


def peer() -> tuple[float, float]:
    """Cornac's VAECF."""
    import cornac

    matrix = generate(N_USERS, N_ITEMS, N_INTERACTIONS).tocoo()
    triples = zip(matrix.row.tolist(), matrix.col.tolist(), matrix.data.tolist(), strict=True)
    data = cornac.data.Dataset.from_uir(list(triples), seed=0)
    model = cornac.models.VAECF(
        k=32, autoencoder_structure=[64], act_fn="tanh", likelihood="mult",
        n_epochs=1, batch_size=BATCH, learning_rate=0.01, beta=1.0, seed=0,
    )  # fmt: skip
    return N_USERS, timed(lambda: model.fit(data))


def ours() -> tuple[float, float]:
    """Our VAE, as many steps as an epoch has batches."""
    from src.recommenders.models.vae import VAERecommender

    matrix = generate(N_USERS, N_ITEMS, N_INTERACTIONS)
    steps = -(-N_USERS // BATCH)
    cfg = VAEConfig(n_factors=64, latent_size=32, beta=1.0, dropout=0.0, batch_size=BATCH, max_steps=steps)
    model = VAERecommender(cfg, TrainerConfig(accelerator="cpu", progress_bar=False))
    return steps * BATCH, timed(lambda: model.fit(matrix, seed=0))


if __name__ == "__main__":
    compare("vae", "users", {"Cornac VAECF": peer, "ours": ours}, target=8.0)
