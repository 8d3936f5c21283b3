import numpy as np
import pandas as pd
import pytest

from src.artifacts import ItemProbabilities, ItemVectors
from src.classifiers.runs import cf2label_run, load_fold, vectors_run
from src.classifiers.settings import resolve
from src.classifiers.targets.inputs import build_inputs
from src.classifiers.targets.vectors import train_vectors
from src.data.folds import TRAIN, VAL
from src.data.images.store import ImageStore
from src.errors import ArtifactError, DataError


@pytest.fixture
def store(pipeline):
    return ImageStore.open(pipeline.outputs_dir / "tiny" / "prepared" / "images")


def parts(pipeline, method, *overrides):
    cfg = resolve(pipeline.config("train_classifier", f"method={method}", *overrides))
    return cfg, load_fold(cfg)


def test_targets_of_distillation_by_hand(pipeline, store):
    cfg, fold = parts(pipeline, "cf_distill", "label_ratio=0.4", "distill_lambda=0.25")
    inputs = build_inputs(cfg, fold, store)
    train = fold.split(TRAIN)
    stored = ItemProbabilities.load(cf2label_run(cfg, fold).directory / "item_probabilities.npz")
    probs = pd.DataFrame(stored.probs, index=stored.item_id).loc[train["item_id"]].to_numpy()
    hard = fold.targets(train)
    expected = np.where(inputs.labelled[:, None], 0.75 * hard + 0.25 * probs, probs)
    assert np.allclose(inputs.targets.numpy(), expected, atol=1e-6)
    assert (inputs.target_weight == 1).all()
    assert len(inputs.unlabelled) == (~inputs.labelled).sum()


def test_image_only_sees_labels_of_labelled_items_only(pipeline, store):
    cfg, fold = parts(pipeline, "image_only", "label_ratio=0.4")
    inputs = build_inputs(cfg, fold, store)
    assert 0 < inputs.labelled.sum() < len(inputs.labelled)
    assert inputs.targets.numpy()[~inputs.labelled].sum() == 0
    assert len(inputs.unlabelled) == 0
    assert inputs.cf_target.shape[1] == 0


def test_cf_targets_are_standardised_and_joined_by_item(pipeline, store):
    cfg, fold = parts(pipeline, "mtl_uniform")
    target = build_inputs(cfg, fold, store).cf_target.numpy()
    assert np.allclose(target.mean(0), 0, atol=1e-5)
    assert np.allclose(target.std(0), 1, atol=1e-3)
    cfg, fold = parts(pipeline, "mtl_uniform", "standardize_vectors=false", "loss.use_bias=true")
    target = build_inputs(cfg, fold, store).cf_target.numpy()
    stored = ItemVectors.load(vectors_run(cfg, fold).directory / "item_vectors.npz")
    item = fold.split(TRAIN)["item_id"][5]
    row = list(stored.item_id).index(item)
    assert np.allclose(target[5], [*stored.vectors[row], stored.bias[row]])


def test_shuffled_vectors_are_a_permutation_and_random_ones_are_not(pipeline):
    loaded = {}
    for vectors in ("cf", "shuffled", "random"):
        cfg, fold = parts(pipeline, "mtl_uniform", f"method.vectors={vectors}")
        loaded[vectors] = train_vectors(cfg, fold).vectors
    assert not np.array_equal(loaded["cf"], loaded["shuffled"])
    assert np.array_equal(np.sort(loaded["cf"], axis=0), np.sort(loaded["shuffled"], axis=0))
    assert not np.array_equal(np.sort(loaded["cf"], axis=0), np.sort(loaded["random"], axis=0))


def test_an_item_without_vector_is_masked_out(pipeline, store):
    cfg, fold = parts(pipeline, "mtl_interaction")
    path = vectors_run(cfg, fold).directory / "item_vectors.npz"
    stored = ItemVectors.load(path)
    missing = fold.split(TRAIN)["item_id"][0]
    keep = stored.item_id != missing
    ItemVectors(stored.item_id[keep], stored.vectors[keep], stored.bias[keep], stored.n_users[keep]).save(path)
    inputs = build_inputs(cfg, fold, store)
    assert not inputs.has_cf_target[0]
    assert inputs.has_cf_target[1:].all()
    assert inputs.confidence[0] == 0
    assert inputs.confidence[1:].mean().item() == pytest.approx(1.0, abs=1e-5)
    assert np.isfinite(inputs.cf_target.numpy()).all()


def test_vectors_of_foreign_or_held_out_items_are_refused(pipeline):
    cfg, fold = parts(pipeline, "mtl_uniform")
    path = vectors_run(cfg, fold).directory / "item_vectors.npz"
    stored = ItemVectors.load(path)
    for item, message in (
        ("stranger", "1 items that the dataset does not have, first 'stranger'"),
        (fold.split(VAL)["item_id"][0], "vectors of 1 validation or test items"),
    ):
        item_id = np.array([item, *stored.item_id[1:]])
        ItemVectors(item_id, stored.vectors, stored.bias, stored.n_users).save(path)
        with pytest.raises(ArtifactError, match=message):
            train_vectors(cfg, fold)


def test_missing_inputs_are_answered_with_the_command(pipeline, store):
    cfg, fold = parts(pipeline, "mtl_uniform", "recommender_seed=5")
    with pytest.raises(
        ArtifactError,
        match=r"main_train_recommender\.py .*dataset\.name=tiny .*recommender\.max_steps=60 .*fold=0 seed=5",
    ):
        build_inputs(cfg, fold, store)
    cfg, fold = parts(pipeline, "cf_distill", "label_ratio=0.3")
    with pytest.raises(ArtifactError, match=r"main_train_classifier\.py .* method=cf2label label_ratio=0\.3 fold=0"):
        build_inputs(cfg, fold, store)


def test_no_labelled_item_is_an_error(pipeline, store):
    cfg, fold = parts(pipeline, "image_only", "label_ratio=0")
    with pytest.raises(DataError, match="No train item is labelled in fold 0 at label ratio 0"):
        build_inputs(cfg, fold, store)
