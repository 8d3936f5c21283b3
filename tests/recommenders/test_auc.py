import cornac
import numpy as np
import pytest
from cornac.eval_methods import RatioSplit
from scipy import sparse

from src.errors import DataError
from src.recommenders import auc as auc_module
from src.recommenders.auc import recommender_auc
from tests.recommenders.planted import block_matrix


def fixed(scores):
    return lambda users: np.asarray(scores, dtype=np.float32)[users]


def csr(rows):
    return sparse.csr_matrix(np.array(rows, dtype=np.float32))


def test_by_hand():
    train = csr([[1, 0, 0, 0, 0], [0, 1, 1, 1, 1]])
    test = csr([[0, 1, 0, 1, 0], [1, 0, 0, 0, 0]])
    scores = [[9.0, 3.0, 2.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0]]
    # User 0: positives 3 and 1, negatives 2 and 1. 3 beats both; 1 loses to 2 and ties with 1.
    result = recommender_auc(fixed(scores), train, test)
    assert result.strict == 2 / 4
    assert result.half_credit == 2.5 / 4
    assert (result.n_users, result.n_users_skipped) == (1, 1)  # user 1 has no negative item


def test_means_are_over_users_not_pairs():
    train = csr([[1, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 1, 0, 0, 0]])
    test = csr([[0, 1, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]])
    scores = [[0, 2, 3, 1, 1], [0] * 5, [1, 0, 1, 1, 0]]
    result = recommender_auc(fixed(scores), train, test)
    assert result.strict == (1.0 + 0.0) / 2
    assert result.n_users_skipped == 0


def test_items_without_training_interaction_are_neither_positive_nor_negative():
    train = csr([[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0]])
    test = csr([[0, 0, 0, 1, 0], [1, 0, 0, 1, 0], [0, 0, 0, 0, 0]])
    # Items 3 and 4 are unknown. User 0 is left without a positive; for user 1, item 0 beats item 2, not item 4.
    result = recommender_auc(fixed([[0] * 5, [3, 0, 2, 0, 9], [0] * 5]), train, test)
    assert (result.strict, result.n_users, result.n_users_skipped) == (1.0, 1, 1)


def test_no_user_to_score_is_an_error():
    train, test = csr([[1, 1, 0], [0, 0, 0]]), csr([[0, 0, 0], [0, 0, 1]])
    with pytest.raises(DataError, match="at least one user with both a training and a held-out interaction"):
        recommender_auc(fixed(np.zeros((2, 3))), train, test)


@pytest.mark.parametrize("where", [np.s_[:], np.s_[2], np.s_[:, 0], np.s_[:, 3]], ids=["all", "user", "item", "absent"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_user_or_an_item_whose_scores_are_not_finite_is_an_error(where, value):
    train, test = csr([[1, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0]]), csr([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]])
    scores = np.zeros((3, 4), np.float32)
    recommender_auc(fixed(scores), train, test)
    scores[where] = value
    with pytest.raises(DataError, match="should be finite"):
        recommender_auc(fixed(scores), train, test)


@pytest.mark.parametrize("sort_above", [0, 8, 10**6])
@pytest.mark.parametrize("chunk_elements", [1, 500, 10**6])
def test_chunks_and_sorting_do_not_matter(monkeypatch, sort_above, chunk_elements):
    rng = np.random.default_rng(0)
    filled = rng.random((50, 40))
    train, test = csr(filled < 0.2), csr((filled >= 0.2) & (filled < 0.5))
    scores = rng.integers(0, 6, (50, 40))
    strict, tied = [], []
    for user in range(50):
        positive, negative = scores[user][test[user].indices], scores[user][filled[user] >= 0.5]
        strict.append((positive[:, None] > negative).mean())
        tied.append((positive[:, None] == negative).mean())
    monkeypatch.setattr(auc_module, "SORT_ABOVE", sort_above)
    result = recommender_auc(fixed(scores), train, test, chunk_elements=chunk_elements)
    assert result.strict == pytest.approx(np.mean(strict), abs=1e-12)
    assert result.half_credit == pytest.approx(np.mean(strict) + 0.5 * np.mean(tied), abs=1e-12)
    assert np.mean(tied) > 0.1


@pytest.mark.parametrize("ties", [False, True])
def test_equals_cornac(ties):
    matrix = block_matrix(150, 60, per_user=5)
    noise = sparse.random(150, 60, density=0.03, format="csr", random_state=1, dtype=np.float32)
    entries = ((matrix + noise) > 0).tocoo()
    data = [(f"u{row}", f"i{column}", 1.0) for row, column in zip(entries.row, entries.col, strict=True)]
    split = RatioSplit(data, test_size=0.3, exclude_unknowns=True, seed=3)
    model = cornac.models.MostPop() if ties else cornac.models.BPR(k=8, max_iter=30, seed=1)
    expected = split.evaluate(model, [cornac.metrics.AUC()], user_based=True)[0].metric_avg_results["AUC"]
    shape = (split.train_set.num_users, split.train_set.num_items)
    train = split.train_set.csr_matrix
    held = split.test_set.csr_matrix
    test = sparse.csr_matrix((held.data, held.indices, held.indptr), shape=(held.shape[0], held.shape[1]))
    test.resize(shape)
    scores = np.stack([model.score(user) for user in range(shape[0])])
    result = recommender_auc(fixed(scores), train, test)
    assert result.strict == pytest.approx(expected, abs=1e-12)
    assert (result.half_credit > result.strict) == ties
