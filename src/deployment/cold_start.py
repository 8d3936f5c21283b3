"""New items recommended by their image: predicted CF vectors against the users of the CF model."""

import logging
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.stats import rankdata
from scipy.stats import t as student_t

from src.artifacts import EVALUATION_DIR, ITEM_IDX, PREDICTIONS_FILE, USER_IDX, ItemVectors, Predictions
from src.classifiers.finished_run import FinishedRun
from src.classifiers.predict import predict_testset
from src.config.stages import PredictConfig, RecommenderTrainingConfig
from src.data.folds import TRAIN, load_interactions, renumber
from src.data.images.store import ImageStore
from src.errors import ArtifactError, ConfigError
from src.evaluation.inputs.runs_table import load_run_records
from src.evaluation.statistics.metrics import recall_at_k
from src.evaluation.tables.format import Column, Row, dataset_title, number, save_tables, span
from src.randomness import derive_seed
from src.recommenders.interactions import build_user_item
from src.recommenders.run import dataset_dir, recommender_run
from src.recommenders.states import CELLS, fit_again, user_states

logger = logging.getLogger(__name__)

RANDOM, NEIGHBOURS, SAME_LABELS = "random item", "image neighbours", "same labels"
MAX_NEIGHBOURS, RECALL_AT, MAX_USERS = 100, 100, 10_000


class Users(NamedTuple):
    """Users of a CF model who interacted with test items.

    ``states`` [U, f], as ``user_states`` returns them.
    ``liked``: who interacted with which test item, in the order of predictions, CSR [n, U] bool.
    """

    states: np.ndarray
    liked: sparse.csr_matrix
    known: ItemVectors


def measure_cold_start(cfg: PredictConfig) -> dict[str, Any]:
    """Find the users of test items, which the CF model does not know, by vectors made for these items.

    Each run of the study that predicts CF vectors is compared with vectors of random train items, with the mean vector
    of the train items whose images are most similar, and with that of those whose labels are (an oracle: it reads test
    labels). No item has a bias, so none is preferred for its popularity. The CF model is fitted again, for its users.

    Returns the mean AUC by source of vectors.

    Raises:
        ArtifactError: No run predicts CF vectors, or the CF model cannot be fitted again as it was.
        ConfigError: A run learned from another CF model than ``recommender`` says.
    """
    predict_testset(cfg)
    root, users, values = dataset_dir(cfg), dict[str, Users](), list[pd.DataFrame]()
    for record in load_run_records(root, cfg.study):
        run = FinishedRun.open(root / record.run)
        if not run.reconstructs_vectors:
            continue
        test, name = Predictions.load(run.directory / PREDICTIONS_FILE), run.definition["inputs"]["vectors"]
        users[name] = users.get(name) or _fit_users(cfg, run, test.item_id)
        for source, vectors in _sources(run, users[name].known, test, cfg.batch_size).items():
            values.append(rank(vectors, users[name], test.image_group).assign(vectors=source, fold=record.fold))
    if not values:
        raise ArtifactError(
            f"No run of study {cfg.study!r} predicts CF vectors; train one: python main_train_classifier.py "
            f"dataset={cfg.dataset.name} method=mtl_uniform study={cfg.study}"
        )
    rows = summarize(pd.concat(values))
    logger.info("%s", _save(cfg, rows))
    return {str(row["vectors"]): row["auc"] for row in rows}


def similar_vectors(known: np.ndarray, vectors: np.ndarray, new: np.ndarray, k: int) -> np.ndarray:
    """Mean vector [m, f] of the k known items most similar to each new one, and of those as similar as the k-th.

    Similarity is the cosine of ``known`` [n, F] and ``new`` [m, F]; ``vectors`` [n, f] are of the known items.
    """
    known, new = (values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12) for values in (known, new))
    k, means = min(k, len(known)), []
    for part in np.array_split(new, len(new) * len(known) // CELLS + 1):
        similarity = part @ known.T
        chosen = similarity >= np.partition(similarity, -k, axis=1)[:, [-k]] - 1e-6
        means.append(chosen @ vectors / chosen.sum(axis=1, keepdims=True))
    return np.concatenate(means)


def rank(vectors: np.ndarray, users: Users, group: np.ndarray) -> pd.DataFrame:
    """How well vectors [n, f] of items find their users, for each item that has some: ``group, auc, recall``.

    The AUC is the share of pairs of a user who interacted with the item and one who did not that their scores rank
    right, a tie one half. The recall, of users among the ``RECALL_AT`` with the highest scores, is a mean over items.
    """
    n_users, (_, n) = np.diff(users.liked.indptr), users.liked.shape
    items, auc, recall = np.flatnonzero((n_users > 0) & (n_users < n)), [], []
    for part in np.array_split(items, len(items) * n // CELLS + 1):
        scores = (vectors[part] - users.known.vectors.mean(axis=0)) @ users.states.T
        liked, n_liked = users.liked[part].toarray(), n_users[part]
        below = (rankdata(scores, axis=1) * liked).sum(axis=1) - n_liked * (n_liked + 1) / 2
        auc.append(below / (n_liked * (n - n_liked)))
        recall.append(np.full(len(part), recall_at_k(liked, scores, min(RECALL_AT, n))))
    return pd.DataFrame({"group": group[items], "auc": np.concatenate(auc), "recall": np.concatenate(recall)})


def summarize(values: pd.DataFrame) -> list[Row]:
    """One row for each source of vectors: means over image groups, and the paired difference in AUC to neighbours.

    ``values`` has ``vectors, fold, group, auc, recall``: a row for each item and run.
    """
    means = values.groupby(["vectors", "fold", "group"], sort=False).mean().unstack("vectors")
    rows: list[Row] = []
    for name in values["vectors"].unique():
        difference = means["auc", name] - means["auc", NEIGHBOURS]
        half = student_t.ppf(0.975, len(difference) - 1) * difference.std() / np.sqrt(len(difference))
        row: Row = {"vectors": name, **{of: float(means[of, name].mean()) for of in ("auc", "recall")}}
        for end, shift in (("difference", 0), ("low", -half), ("high", half)):
            row[end] = None if name == NEIGHBOURS else float(difference.mean() + shift)
        rows.append({**row, "n_items": len(difference)})
    return rows


def _fit_users(cfg: PredictConfig, run: FinishedRun, item_id: np.ndarray) -> Users:
    """The users who interacted with test items, at most ``MAX_USERS`` drawn from them."""
    fold, shared = run.fold, ("dataset", "outputs_dir", "called_with", "recommender", "trainer")
    given = {name: getattr(cfg, name) for name in shared} | {name: run.config[name] for name in ("fold", "leaks")}
    of_model = RecommenderTrainingConfig(**given, seed=cfg.recommender_seed)
    made, learned_from = recommender_run(of_model, fold.interactions_digest), run.definition["inputs"]["vectors"]
    if made.directory.name != learned_from:
        raise ConfigError(
            f"{run.directory} learned from the vectors {learned_from}, but recommender and recommender_seed name "
            f"{made.directory}; give those that it was trained with."
        )
    user_item = build_user_item(fold.train_interactions, fold.items["item_id"].to_numpy())
    model, stored = fit_again(of_model, user_item, made.require())
    found = load_interactions(run.prepared_dir)
    item = pd.Index(item_id).get_indexer(fold.items["item_id"])[found[ITEM_IDX]]
    known = renumber(fold.train_interactions[USER_IDX].to_numpy())[0]  # a row of the CF model's matrix each
    user = pd.Index(known).get_indexer(found[USER_IDX])
    kept = (item >= 0) & (user >= 0)
    rng = np.random.default_rng(derive_seed(of_model.seed, "cold start"))
    drawn = np.sort(rng.permutation(np.unique(user[kept]))[:MAX_USERS])
    cells = np.ones(kept.sum(), dtype=bool), (item[kept], user[kept])
    liked = sparse.csr_matrix(cells, shape=(len(item_id), len(known)))[:, drawn]
    return Users(user_states(model, stored, drawn), liked, stored)


def _sources(run: FinishedRun, known: ItemVectors, test: Predictions, batch_size: int) -> dict[str, np.ndarray]:
    """Vectors of a run's test items, [n, f], by where they come from."""
    run.fold.require_classes("cold_start=true")
    train, store = run.fold.split(TRAIN), ImageStore.open(run.fold.images_dir)
    row = pd.Index(known.item_id).get_indexer(train["item_id"])
    train, vectors = train[row >= 0], known.vectors[row[row >= 0]]
    features, predicted = run.represent(test.item_id, store, batch_size)
    similar, _ = run.represent(train["item_id"].to_numpy(), store, batch_size)
    rng, k = (
        np.random.default_rng(derive_seed(run.config["seed"], "cold start")),
        min(MAX_NEIGHBOURS, len(train) // 10 + 1),
    )
    return {
        RANDOM: vectors[rng.integers(len(vectors), size=len(features))],
        NEIGHBOURS: similar_vectors(similar, vectors, features, k),
        str(run.config["method"]["name"]): np.asarray(predicted)[:, : vectors.shape[1]],  # without bias
        SAME_LABELS: similar_vectors(run.fold.targets(train), vectors, test.targets.astype(np.float32), k),
    }


def _save(cfg: PredictConfig, rows: list[Row]) -> str:
    """Write the table below ``evaluation/``, and return it as Markdown."""
    columns = [
        Column("vectors", lambda row: str(row["vectors"]), numeric=False),
        Column("AUC", lambda row: number(row["auc"])),
        Column("difference", lambda row: number(row["difference"], signed=True)),
        Column("its 95 % interval", lambda row: span(row["low"], row["high"], signed=True)),
        Column(f"recall@{RECALL_AT}", lambda row: number(row["recall"])),
        Column("items", lambda row: str(row["n_items"])),
    ]
    notes = [
        "A new item's users against the others, by each user's score of the item; means over items.",
        f"Difference: in AUC, to {NEIGHBOURS}, paired by item; interval by t over image groups, for the users at hand.",
        f"{SAME_LABELS}: an oracle, since a new item's labels are not known.",
    ]
    caption = f"{dataset_title(dataset_dir(cfg))}: users of new items by {cfg.recommender.name}, study {cfg.study}"
    stem = dataset_dir(cfg) / EVALUATION_DIR / f"cold_start_{cfg.study}_{cfg.recommender.name}"
    return save_tables(stem, caption, notes, rows, [columns])
