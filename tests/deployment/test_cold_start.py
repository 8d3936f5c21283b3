"""Cold start: what finds the users of a new item, by hand and on the tiny planted dataset."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from src.artifacts import ItemVectors
from src.deployment.cold_start import RANDOM, SAME_LABELS, Users, rank, similar_vectors, summarize
from src.errors import ArtifactError, ConfigError


def test_neighbours_are_the_k_most_similar_and_those_as_similar():
    known = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    vectors = np.array([[1.0], [3.0], [10.0], [100.0]])
    new = np.array([[5.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    np.testing.assert_allclose(similar_vectors(known, vectors, new, k=1), [[2.0], [10.0], [28.5]])
    np.testing.assert_allclose(similar_vectors(known, vectors, new[:1], k=3), [[104 / 3]])
    np.testing.assert_allclose(similar_vectors(known, vectors, new[:1], k=9), [[28.5]])


def test_auc_and_recall_by_hand():
    states = np.array([[3.0], [2.0], [1.0], [1.0]])
    liked = sparse.csr_matrix(np.array([[1, 0, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0], [1, 1, 1, 1]], dtype=bool))
    vectors = np.array([[1.5], [1.5], [-0.5], [1.5]])
    known = ItemVectors(np.array(["x", "y"]), np.array([[0.0], [1.0]]), np.zeros(2), np.ones(2))  # mean 0.5
    ranked = rank(vectors, Users(states, liked, known), np.array(["a", "b", "c", "d"]))
    # Item 0: users 0 (best) and 3 (below 1, tied with 2): (2 + 0.5) of 4 pairs. Item 2: user 2, above 0 and 1, tied.
    assert ranked["group"].tolist() == ["a", "c"]  # no user, or every user, leaves nothing to rank
    np.testing.assert_allclose(ranked["auc"], [2.5 / 4, 2.5 / 3])
    assert (ranked["recall"] == 1).all()  # all four users are among the first hundred


def test_differences_are_paired_by_group_and_averaged_over_seeds():
    rows = [("image neighbours", 0, "a", 0.5), ("image neighbours", 0, "b", 0.7), ("image neighbours", 0, "c", 0.9)]
    rows += [("ours", 0, "a", 0.6), ("ours", 0, "b", 0.8), ("ours", 0, "c", 0.8), ("ours", 0, "c", 1.2)]
    values = pd.DataFrame(rows, columns=["vectors", "fold", "group", "auc"]).assign(recall=0.5)
    reference, ours = summarize(values)
    assert reference["difference"] is None
    assert ours["auc"] == pytest.approx(0.8)
    assert [ours[name] for name in ("difference", "low", "high")] == pytest.approx([0.1, 0.1, 0.1])
    assert ours["n_items"] == 3


@pytest.mark.slow
def test_the_users_of_unseen_items_are_found_by_their_images(trained, tmp_path):
    settings = [value for value in trained.overrides("train_recommender") if value.startswith("recommender.")]
    found = trained.run("predict_testset", "cold_start=true", *settings)
    assert set(found) == {RANDOM, "image neighbours", "mtl_uniform", SAME_LABELS}
    assert abs(found[RANDOM] - 0.5) < 0.15
    assert found[SAME_LABELS] > found[RANDOM] + 0.05
    assert found["image neighbours"] > found[RANDOM] + 0.05
    (table,) = (trained.outputs_dir / "tiny" / "evaluation").glob("cold_start_main_vae.csv")
    assert pd.read_csv(table)["n_items"].nunique() == 1
    with pytest.raises(ConfigError, match="learned from the vectors fold0-seed0"):
        trained.run("predict_testset", "cold_start=true", "recommender_seed=3", *settings)


@pytest.mark.slow
def test_a_study_without_predicted_vectors_says_what_to_train(pipeline):
    pipeline.classify("image_only")
    with pytest.raises(ArtifactError, match="No run of study 'main' predicts CF vectors"):
        pipeline.run("predict_testset", "cold_start=true")
