import numpy as np
import pytest
import torch

from src.classifiers.models.evaluation_batches import CentreCrops, EvaluationBatches
from src.classifiers.runs import load_fold
from src.classifiers.settings import resolve
from src.classifiers.targets.batches import RandomCrops, StepSampler, TrainingBatches, n_unlabelled_images
from src.classifiers.targets.inputs import build_inputs
from src.data.images.store import ImageStore


def test_the_sampler_counts_steps_over_epochs():
    sampler = StepSampler(3, lambda: 6)
    assert list(sampler) == [6, 7, 8]
    assert len(sampler) == 3


@pytest.fixture(scope="module")
def store(shared_pipeline):
    return ImageStore.open(shared_pipeline.outputs_dir / "tiny" / "prepared" / "images")


def batches(pipeline, store, method, *overrides, rank=0, n_ranks=1):
    cfg = resolve(pipeline.config("train_classifier", f"method={method}", *overrides))
    inputs = build_inputs(cfg, load_fold(cfg), store)
    return TrainingBatches(cfg, inputs, RandomCrops(store, cfg.augmentation, cfg.image_size), rank, n_ranks), inputs


def test_methods_draw_the_same_labelled_images(shared_pipeline, store):
    plain, inputs = batches(shared_pipeline, store, "image_only", "label_ratio=0.4")
    mtl, _ = batches(shared_pipeline, store, "mtl_uniform", "label_ratio=0.4")
    distill, _ = batches(shared_pipeline, store, "cf_distill", "label_ratio=0.4")
    for step in (0, 7):
        labelled = plain[step]
        assert inputs.labelled[labelled["item"]].all()
        for other in (mtl[step], distill[step]):
            assert torch.equal(other["inputs"][:16], labelled["inputs"])
            assert len(other["inputs"]) == 32
            assert not inputs.labelled[other["item"][16:]].any()
            assert other["n_labelled_images"] == 16


def test_a_triplet_batch_adds_the_nearest_train_item_of_each(shared_pipeline, store):
    contrastive, inputs = batches(shared_pipeline, store, "contrastive")
    batch = contrastive[0]
    assert len(batch["inputs"]) == 2 * len(batch["item"])
    vectors = inputs.cf_target.numpy()
    item = int(batch["item"][0])
    distance = np.linalg.norm(vectors - vectors[item], axis=1)
    distance[item] = np.inf
    assert distance[inputs.nearest[item]] < np.median(distance)


def test_devices_share_a_batch(shared_pipeline, store):
    whole = batches(shared_pipeline, store, "image_only")[0][3]
    shares = [batches(shared_pipeline, store, "image_only", rank=rank, n_ranks=2)[0][3] for rank in (0, 1)]
    for rank, share in enumerate(shares):
        assert torch.equal(share["inputs"], whole["inputs"][rank::2])
        assert torch.equal(share["targets"], whole["targets"][rank::2])


def test_unlabelled_images_come_in_their_share_at_most_the_limit(shared_pipeline):
    cfg = shared_pipeline.config("train_classifier")
    assert n_unlabelled_images(cfg, 10, 90) == cfg.batch_size
    assert n_unlabelled_images(cfg, 80, 5) == 1
    assert n_unlabelled_images(cfg, 80, 0) == 0
    cfg.unlabelled_batch_size = 4
    assert n_unlabelled_images(cfg, 10, 90) == 4


@pytest.mark.parametrize("n_ranks", [1, 2, 3])
def test_evaluation_shows_every_image_once_on_any_number_of_devices(store, n_ranks):
    rows, seen = np.arange(7), []
    for rank in range(n_ranks):
        part = EvaluationBatches(CentreCrops(store, 24, 1.0), (rows, rows), 2, rank, n_ranks)
        assert len(part) == -(-7 // (2 * n_ranks))
        for batch in (part[index] for index in range(len(part))):
            assert len(batch["inputs"]) == len(batch["index"])
            seen += [index for index in batch["index"].tolist() if index >= 0]
    assert sorted(seen) == list(range(7))
