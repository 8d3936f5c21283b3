"""AUC of a recommender, 20,000 items: Cornac's ``AUC`` through ``ranking_eval`` against ours, on the same scores."""

import numpy as np

from benchmarks.interactions import generate
from benchmarks.measure import compare, timed
from src.recommenders.interactions import hold_out

N_USERS, N_ITEMS, N_INTERACTIONS, N_FACTORS = 20_000, 20_000, 60_000, 64
N_SCORED = 400  # users of the peer's run; ours takes all


def factors() -> tuple[np.ndarray, np.ndarray]:
    """Random user and item vectors: what is scored does not matter for the time."""
    rng = np.random.default_rng(1)
    return (rng.normal(size=(n, N_FACTORS)).astype(np.float32) for n in (N_USERS, N_ITEMS))  # type: ignore[return-value]


def peer() -> tuple[float, float]:
    """Cornac's loop over users and pairs."""
    import cornac
    from cornac.eval_methods.base_method import ranking_eval

    users, items = factors()
    rest, test = hold_out(generate(N_USERS, N_ITEMS, N_INTERACTIONS), 0.2, np.random.default_rng(0))

    class Scores(cornac.models.Recommender):
        def score(self, user_idx: int, item_idx: int | None = None) -> np.ndarray:
            return users[user_idx] @ items.T

    def as_dataset(matrix: object, like: object = None) -> object:
        coo = matrix.tocoo()  # type: ignore[attr-defined]
        triples = list(zip(coo.row.tolist(), coo.col.tolist(), coo.data.tolist(), strict=True))
        if like is None:
            return cornac.data.Dataset.from_uir(triples, seed=0)
        maps = (like.uid_map, like.iid_map)  # type: ignore[attr-defined]
        return cornac.data.Dataset.build(triples, *maps, exclude_unknowns=True)

    scored = np.flatnonzero((np.diff(rest.indptr) > 0) & (np.diff(test.indptr) > 0))[:N_SCORED]
    train_set = as_dataset(rest)
    test_set = as_dataset(test.multiply(np.isin(np.arange(N_USERS), scored)[:, None]).tocsr(), train_set)
    model = Scores("scores")
    model.fit(train_set)
    return len(scored), timed(lambda: ranking_eval(model, [cornac.metrics.AUC()], train_set, test_set))


def ours() -> tuple[float, float]:
    """All users in chunks."""
    from src.recommenders.auc import recommender_auc

    users, items = factors()
    rest, test = hold_out(generate(N_USERS, N_ITEMS, N_INTERACTIONS), 0.2, np.random.default_rng(0))
    results = []
    seconds = timed(lambda: results.append(recommender_auc(lambda rows: users[rows] @ items.T, rest, test)))
    return results[0].n_users, seconds


if __name__ == "__main__":
    compare("auc", "users", {"Cornac AUC": peer, "ours": ours}, target=50.0)
