"""AUC of our VAE and of Cornac's VAECF on one fold of a prepared dataset, both with the same four trials: minutes.

PREPARED=outputs/movielens_posters/prepared python benchmarks/vae_quality.py; without PREPARED, emoji. Both have 64
hidden units, batches of 1,024 users and a learning rate of .01; tried are the weight of the KL term and the number of
steps. The other settings of ours are those that the dataset's runs have.
"""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import cornac
import numpy as np
import torch
from cornac.data import Dataset
from scipy import sparse

from benchmarks.measure import save
from src.config.classifiers import TrainerConfig
from src.data.folds import open_fold
from src.entry import compose_config
from src.recommenders.auc import recommender_auc
from src.recommenders.interactions import build_user_item, hold_out
from src.recommenders.models.vae import VAEConfig, VAERecommender

BETAS, STEPS, BATCH, LR = (1.0, 0.01), (300, 1000), 1024, 0.01


Scores = Callable[[np.ndarray], np.ndarray]
"""Maps some users to the scores of all items."""


def fit_ours(cfg: VAEConfig, train: sparse.csr_matrix) -> Scores:
    """Fit our VAE."""
    model = VAERecommender(cfg, TrainerConfig(accelerator="cpu", progress_bar=False))
    model.fit(train, 0)
    return model.user_scores


def fit_cornac(beta: float, steps: int, train: sparse.csr_matrix) -> Scores:
    """Fit VAECF for about as many steps: it counts in passes over the users."""
    entries = train.tocoo()
    users, items = ({index: index for index in range(size)} for size in train.shape)
    uir = (entries.row.astype(int), entries.col.astype(int), entries.data.astype(float))
    epochs = max(1, round(steps * BATCH / (np.diff(train.indptr) > 0).sum()))
    settings = {"k": 32, "autoencoder_structure": [64], "learning_rate": LR, "batch_size": BATCH, "beta": beta}
    model = cornac.models.VAECF(**settings, n_epochs=epochs, seed=0).fit(Dataset(*train.shape, users, items, uir))

    @torch.no_grad()
    def scores(chosen: np.ndarray) -> np.ndarray:
        latent, _ = model.vae.encode(torch.from_numpy(train[chosen].toarray()))
        result: np.ndarray = model.vae.decoder(latent).numpy()
        return result

    return scores


def main() -> None:
    """Run all trials of both, and write JSON."""
    prepared = Path(os.environ.get("PREPARED", "outputs/emoji/prepared"))
    name = prepared.parent.name
    cfg = compose_config("train_recommender", [f"dataset={name}", "recommender=vae"]).recommender
    fold = open_fold(prepared, 0)
    matrix = build_user_item(fold.train_interactions, fold.items["item_id"].to_numpy()).matrix
    train, test = hold_out(matrix, cfg.auc_holdout, np.random.default_rng(0))
    rows = []
    for beta, steps in product(BETAS, STEPS):
        own = replace(cfg, beta=beta, max_steps=steps, batch_size=BATCH, lr=LR)
        for side, fit in (("ours", partial(fit_ours, own)), ("cornac", partial(fit_cornac, beta, steps))):
            start = time.perf_counter()
            scores = fit(train)
            seconds = time.perf_counter() - start
            auc = recommender_auc(scores, train, test).strict
            rows.append({"side": side, "beta": beta, "steps": steps, "auc": auc, "seconds": seconds})
            print(rows[-1], flush=True)
    best = {side: max(row["auc"] for row in rows if row["side"] == side) for side in ("ours", "cornac")}
    print(f"best on {name}: ours {best['ours']:.4f}, VAECF {best['cornac']:.4f}")
    save(f"vae_quality_{name}", {"dataset": name, "best": best, "rows": rows})


if __name__ == "__main__":
    main()
