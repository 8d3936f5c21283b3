"""CF and image model in turns: the image's prediction is the prior of CF vectors, so that rare items borrow from it.

Each turn predicts the vector of every train item from its image, by mtl_uniform that saw neither its vector nor those
of its inner fold, and takes v = (n v_cf + k v_image) / (n + k), n being the item's users. A turn's vectors are the next
one's targets; v_cf stays the CF model's. k is chosen in the first turn by the validation mAP of cf_distill.

Columns: validation mAP of cf_distill on these vectors; mAP of CF2Label over the train items whose labels no model saw,
of all and of the half with fewer users; AUC on 8 % of the interactions, which no model saw, of all and of these items.
Controls: the mean vector as the prior, and distill_both, which combines both sources without turns. Test items and
their labels are not used. Needs a prepared dataset:
    python -m benchmarks.alternation dataset=emoji label_ratio=0.1
"""

import logging
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from src.artifacts import PROBABILITIES_FILE, ItemProbabilities
from src.cf2label.out_of_fold import assign_folds
from src.classifiers.finished_run import FinishedRun
from src.classifiers.runs import classifier_run, load_fold
from src.classifiers.settings import resolve
from src.classifiers.train import train_classifier
from src.data.folds import TRAIN, label_mask
from src.data.images.store import ImageStore
from src.entry import compose_config
from src.evaluation.statistics.metrics import mean_average_precision
from src.recommenders.auc import recommender_auc
from src.recommenders.interactions import build_user_item, count_users, only
from src.recommenders.train import train_recommender

SEEDS, TURNS, INNER_FOLDS, STRENGTHS = (0, 1), 3, 3, (30, 100, 300, 1000)


class Alternation:
    """A CF model fitted on 92 % of the fold's train interactions, and the runs on vectors that are made from it."""

    def __init__(self, given: list[str], seed: int) -> None:
        """Fit the CF model; ``given`` are overrides of the classifier."""
        self.given = [*given, "study=alternation", f"seed={seed}", "trainer.progress_bar=false", "loggers=[]"]
        self.seed, cfg = seed, compose_config("train_classifier", self.given)
        self.fold = load_fold(cfg)
        user_item = build_user_item(self.fold.train_interactions, self.fold.items["item_id"].to_numpy())
        rest, self.held, reported = user_item.split(cfg.fold, 0.2)
        self.train = rest + reported
        self.model = cfg.recommender.build(cfg.trainer)
        self.model.fit(self.train, seed)
        self.item_id, self.cf = user_item.item_id, self.model.item_factors().vectors
        self.n_users = count_users(self.train)
        items = self.fold.split(TRAIN).set_index("item_id").loc[self.item_id]
        self.targets, self.groups = self.fold.targets(items), items["image_group"].to_numpy()
        self.unseen = ~label_mask(self.item_id, cfg.label_ratio, cfg.mask_seed)
        self.few = self.n_users < np.median(self.n_users)
        self.folder = Path(cfg.outputs_dir) / cfg.dataset.name / "alternation"
        self.folder.mkdir(exist_ok=True)

    def run(self, method: str, vectors: np.ndarray, kept: np.ndarray | None = None) -> tuple[Path, float]:
        """Train a method on vectors [n, f] of the ``kept`` items, by default all; its directory and validation mAP."""
        kept = np.ones(len(vectors), dtype=bool) if kept is None else kept
        path = self.folder / "vectors.npz"
        np.savez(path, item_id=self.item_id[kept], vectors=vectors[kept])
        cf_model = ["recommender=external", f"recommender.file={path}"]
        stage = [one for one in self.given if one.partition("=")[0] in ("dataset", "fold", "outputs_dir")]
        train_recommender(compose_config("train_recommender", [*stage, *cf_model]))
        cfg = compose_config("train_classifier", [*self.given, *cf_model, f"method={method}"])
        metrics = train_classifier(cfg)
        return classifier_run(resolve(cfg), self.fold).directory, metrics.get("val_mAP", float("nan"))

    def predicted(self, vectors: np.ndarray) -> np.ndarray:
        """The vector [n, f] that the image of each item predicts, by a network that did not see its inner fold's."""
        inner = assign_folds(self.groups, np.ones(len(vectors), dtype=bool), INNER_FOLDS)
        result, store = np.empty_like(vectors), ImageStore.open(self.fold.images_dir)
        for held in range(INNER_FOLDS):
            network = FinishedRun.open(self.run("mtl_uniform", vectors, inner != held)[0])
            _, found = network.represent(self.item_id[inner == held], store, 256)
            result[inner == held] = np.asarray(found)[:, : vectors.shape[1]]
        return result

    def posterior(self, prior: np.ndarray, strength: float) -> np.ndarray:
        """CF vectors [n, f] under a prior [n, f] that weighs as much as ``strength`` users."""
        n = self.n_users[:, None]
        return ((n * self.cf + strength * prior) / (n + strength)).astype(np.float32)

    def judge(self, name: str, vectors: np.ndarray) -> dict[str, float | str]:
        """One row of the table."""
        directory, _ = self.run("cf2label", vectors)
        stored = ItemProbabilities.load(directory / PROBABILITIES_FILE)
        probs = stored.probs[pd.Index(stored.item_id).get_indexer(self.item_id)]
        half = self.unseen & self.few
        row: dict[str, float | str] = {
            "vectors": name,
            "val mAP": self.run("cf_distill", vectors)[1],
            "CF2Label": mean_average_precision(self.targets[self.unseen], probs[self.unseen]),
            "CF2Label few": mean_average_precision(self.targets[half], probs[half]),
        }
        self.model._vae.item_vectors.data = torch.from_numpy(vectors)
        for column, held in (("AUC", self.held), ("AUC few", only(self.held, self.few[self.held.indices]))):
            row[column] = recommender_auc(self.model.user_scores, self.train, held).strict
        print(
            " | ".join(f"{cell:.4f}" if isinstance(cell, float) else f"{cell:24s}" for cell in row.values()), flush=True
        )
        return row


def alternate(given: list[str], seed: int) -> pd.DataFrame:
    """All rows of one seed."""
    turns = Alternation(given, seed)
    quantiles = np.quantile(turns.n_users, [0, 0.25, 0.5, 0.75, 1]).tolist()
    print(f"seed {seed}: {len(turns.item_id)} items, quartiles of users {quantiles}", flush=True)
    rows = [turns.judge("CF model", turns.cf)]
    prior = turns.predicted(turns.cf)
    tried = {k: turns.judge(f"turn 1, k={k}", turns.posterior(prior, k)) for k in STRENGTHS}
    k = max(tried, key=lambda one: float(tried[one]["val mAP"]))
    rows += [*tried.values(), tried[k] | {"vectors": "turn 1, chosen k"}]
    mean = np.broadcast_to(turns.cf.mean(axis=0), turns.cf.shape)
    rows.append(turns.judge("mean as prior, chosen k", turns.posterior(mean, k)))
    vectors = turns.posterior(prior, k)
    for turn in range(2, TURNS + 1):
        vectors = turns.posterior(turns.predicted(vectors), k)
        rows.append(turns.judge(f"turn {turn}, chosen k", vectors))
    for method in ("image_only", "distill_both"):  # the first is the second's teacher
        rows.append({"vectors": f"CF model, {method}", "val mAP": turns.run(method, turns.cf)[1]})
    return pd.DataFrame(rows).assign(seed=seed, k=k)


def main() -> None:
    """Print each row, and the means over seeds."""
    logging.disable(logging.WARNING)  # each row has other vectors than the one before
    rows = pd.concat([alternate(sys.argv[1:], seed) for seed in SEEDS])
    print(rows.groupby("vectors", sort=False).mean().round(4).to_markdown())


if __name__ == "__main__":
    main()
