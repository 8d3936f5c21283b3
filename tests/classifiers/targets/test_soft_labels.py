import json
import shutil

import numpy as np
import pytest
import torch

from src.classifiers.finished_run import FinishedRun
from src.classifiers.runs import load_fold, teacher_run
from src.classifiers.settings import resolve
from src.classifiers.targets.inputs import build_inputs
from src.classifiers.targets.soft_labels import combined, unweighted_probabilities
from src.data.folds import TRAIN
from src.data.images.store import ImageStore
from src.data.images.transforms import center_crop_boxes, crop_batch
from src.errors import ArtifactError, ConfigError
from src.files import save_yaml

RATIO = "label_ratio=0.4"


def test_weights_of_positive_terms_are_undone():
    probs, weight = np.array([[0.0, 0.2, 0.9, 1.0]] * 3).T, np.array([0.5, 1.0, 7.0])
    scores = weight * probs / (weight * probs + 1 - probs)  # where the weighted cross-entropy is least
    np.testing.assert_allclose(unweighted_probabilities(scores, weight), probs, atol=1e-6)
    assert not unweighted_probabilities(np.array([[0.0], [0.3], [1.0]]), np.zeros(1)).any()


def test_least_weighted_cross_entropy_is_where_the_formula_says():
    prob, weight = 0.3, torch.tensor([4.0])
    grid = torch.linspace(-4, 4, 4001)[:, None]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        grid, torch.full_like(grid, prob), pos_weight=weight, reduction="none"
    )
    best = grid[loss.argmin()].sigmoid().numpy()[None]
    assert unweighted_probabilities(best, weight.numpy()).item() == pytest.approx(prob, abs=1e-3)


def test_pseudo_labels_are_image_onlys_probabilities(pipeline):
    pipeline.classify("image_only", RATIO)
    metrics = pipeline.classify("pseudo_label", RATIO, "distill_lambda=0.25")
    assert metrics["n_with_soft_target"] == metrics["n_train"] - metrics["n_labelled"] > 0

    cfg = resolve(pipeline.config("train_classifier", "method=pseudo_label", RATIO, "distill_lambda=0.25"))
    fold = load_fold(cfg)
    store = ImageStore.open(fold.images_dir)
    inputs = build_inputs(cfg, fold, store)
    teacher = teacher_run(cfg, fold)
    assert pipeline.runs("image_only") == [teacher.directory]
    network = FinishedRun.open(teacher.directory).network
    rows = store.ranges(fold.split(TRAIN)["item_id"])[0]
    sides = torch.from_numpy(store.heights[rows]), torch.from_numpy(store.widths[rows])
    images = crop_batch(store.read, rows, center_crop_boxes(*sides, cfg.eval_crop), cfg.image_size)
    with torch.inference_mode():
        scores = network(images.float() / 255)[0].sigmoid().numpy()
    probs = unweighted_probabilities(scores, inputs.positive_weight.numpy())
    hard = fold.targets(fold.split(TRAIN))
    expected = np.where(inputs.labelled[:, None], 0.75 * hard + 0.25 * probs, probs)
    np.testing.assert_allclose(inputs.targets.numpy(), expected, atol=1e-4)


def test_pseudo_labels_need_neither_vectors_nor_cf2label(pipeline):
    for part in ("classifier/cf2label", "recommender"):
        shutil.rmtree(pipeline.outputs_dir / "tiny" / part)
    pipeline.classify("image_only", RATIO)
    pipeline.classify("pseudo_label", RATIO)
    (run,) = pipeline.runs("pseudo_label")
    assert sorted(json.loads((run / "manifest.json").read_text())["definition"]["inputs"]) == ["items", "teacher"]


def test_the_teacher_has_its_own_learning_rate_where_it_was_tuned(pipeline, tmp_path):
    def teacher(*overrides):
        cfg = resolve(pipeline.config("train_classifier", "method=pseudo_label", RATIO, *overrides))
        return teacher_run(cfg, load_fold(cfg)).settings

    assert teacher("lr=0.03")["lr"] == 0.03
    path = tmp_path / "tuned" / f"tiny-{teacher()['backbone']['name']}-image_only.yaml"
    save_yaml(path, {"0.4": {"settings": {"lr": 0.007}}})
    assert teacher("lr=0.03", f"tuned_dir={path.parent}")["lr"] == 0.007
    assert teacher(f"tuned_dir={path.parent}")["distill_lambda"] == 0


def test_a_missing_teacher_is_named_with_its_command(pipeline):
    with pytest.raises(
        ArtifactError,
        match=r"main_train_classifier.py .*epochs=2 .*method=image_only lr=0\.01 label_ratio=0\.4 fold=0 seed=0",
    ):
        pipeline.classify("pseudo_label", RATIO)


def test_sources_are_combined_at_the_mean_of_their_log_odds():
    first = np.array([[0.8, 0.5], [0.0, 0.0], [0.3, 1.0]]), np.array([True, False, True])
    second = np.array([[0.2, 0.9], [0.6, 0.1], [0.3, 1.0]]), np.ones(3, bool)
    probs, known = combined([first, second])
    np.testing.assert_allclose(probs, [[0.5, 0.75], [0.6, 0.1], [0.3, 1.0]], atol=1e-6)  # odds 4 * 1/4, 1 * 9, ...
    assert known.all()
    probs, known = combined([first, first])
    np.testing.assert_allclose(probs, first[0], atol=1e-6)
    assert list(known) == [True, False, True]


def test_soft_labels_from_both_sources(pipeline):
    pipeline.classify("image_only", RATIO)
    pipeline.classify("distill_both", RATIO)
    (run,) = pipeline.runs("distill_both")
    inputs = json.loads((run / "manifest.json").read_text())["definition"]["inputs"]
    assert sorted(inputs) == ["cf2label", "items", "teacher"]

    def targets(method):
        cfg = resolve(pipeline.config("train_classifier", f"method={method}", RATIO))
        fold = load_fold(cfg)
        inputs = build_inputs(cfg, fold, ImageStore.open(fold.images_dir))
        return inputs.targets.numpy()[~inputs.labelled]

    both, low, high = targets("distill_both"), targets("cf_distill"), targets("pseudo_label")
    low, high = np.minimum(low, high), np.maximum(low, high)
    assert (both >= low - 1e-6).all()
    assert (both <= high + 1e-6).all()
    assert (high - low).max() > 0.01


def test_unknown_soft_labels(pipeline):
    with pytest.raises(ConfigError, match="soft_labels should be one of cf2label, image_only, both, but is 'clip'"):
        pipeline.classify("cf_distill", "method.soft_labels=clip")
