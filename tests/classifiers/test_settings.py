from dataclasses import replace

import pytest

from src.classifiers.settings import fine_tuning_run, load_fold, requirements, resolve, tuned_settings
from src.errors import ConfigError
from src.runs import run_directory


def resolved(pipeline, *overrides, tuned=None):
    cfg = pipeline.config("train_classifier", *overrides)
    return resolve(replace(cfg, tuned={"0.2": {"settings": tuned}}) if tuned else cfg)


def test_settings_come_from_the_command_then_tuning_then_the_method(shared_pipeline):
    mtl, tuned = "method=mtl_uniform", {"alpha": 0.5}
    assert resolved(shared_pipeline, mtl).alpha == 0.2
    assert resolved(shared_pipeline, mtl, "label_ratio=0.2", tuned=tuned).alpha == 0.5
    assert resolved(shared_pipeline, mtl, "label_ratio=0.4").alpha == 0.2
    assert resolved(shared_pipeline, mtl, "label_ratio=0.2", "alpha=0.7", tuned=tuned).alpha == 0.7


def test_tuning_may_set_tunable_settings_only(shared_pipeline):
    with pytest.raises(ConfigError, match=r"tuned config sets \['epochs'\]; it may set alpha"):
        resolved(shared_pipeline, "label_ratio=0.2", tuned={"epochs": 3})


def test_a_method_needs_only_what_has_weight(shared_pipeline):
    assert not requirements(resolved(shared_pipeline, "method=image_only")).unlabelled_images
    assert requirements(resolved(shared_pipeline, "method=mtl_loss")).confidence
    assert not requirements(resolved(shared_pipeline, "method=mtl_loss", "alpha=0")).unlabelled_images
    assert requirements(resolved(shared_pipeline, "method=cf_distill")).soft_labels


def directory(pipeline, *overrides):
    cfg = resolved(pipeline, *overrides)
    return run_directory(*fine_tuning_run(cfg, load_fold(cfg)))


def test_a_run_is_named_by_what_defines_its_result(shared_pipeline):
    base = directory(shared_pipeline, "method=mtl_uniform", "label_ratio=0.2")
    assert base.name.startswith("test_resnet-ratio0.2-alpha0.2-fold0-seed0-")
    same = ["trainer.num_workers=2", "trainer.channels_last=false", "loggers=[tensorboard]", "force=true"]
    assert directory(shared_pipeline, "method=mtl_uniform", "label_ratio=0.2", *same) == base
    for change in ("epochs=3", "seed=1", "fold=1", "mask_seed=1", "loss.distance=squared", "recommender.lr=0.02"):
        assert directory(shared_pipeline, "method=mtl_uniform", "label_ratio=0.2", change) != base


def test_the_recommender_does_not_define_a_run_without_cf(shared_pipeline):
    assert directory(shared_pipeline) == directory(shared_pipeline, "recommender=vae_no_bias")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("label_ratio=1.5", r"label_ratio should be in \[0, 1\], but is 1.5"),
        ("alpha=-1", "alpha should be in"),
        ("distill_lambda=2", "distill_lambda should be in"),
        ("batch_size=1", "batch_size should be at least 2, which batch normalisation needs, but is 1"),
        ("epochs=0", "epochs should be in"),
        ("method.vectors=other", r"method\.vectors should be one of cf, shuffled, random, but is 'other'"),
        ("loss.distance=l3", r"loss\.distance should be one of paper, squared, but is 'l3'"),
        ("loss.class_weighting=x", r"loss\.class_weighting should be one of"),
        ("method.phases=[]", r"method\.phases should hold at least one phase"),
    ],
)
def test_settings_out_of_range_are_refused(shared_pipeline, override, message):
    with pytest.raises(ConfigError, match=message):
        resolved(shared_pipeline, override)


def test_settings_come_from_the_nearest_tuned_label_ratio():
    entries = {"0.2": {"settings": {"alpha": 1.0}}, "1": {"settings": {"alpha": 0.05}}}
    found = {ratio: tuned_settings(entries, ratio)["alpha"] for ratio in (0.05, 0.2, 0.4, 0.5, 1.0)}
    assert found == {0.05: 1.0, 0.2: 1.0, 0.4: 1.0, 0.5: 0.05, 1.0: 0.05}
    assert tuned_settings({}, 0.3) == {}


def test_later_settings_leave_earlier_runs_their_names(shared_pipeline):
    base = directory(shared_pipeline, "method=cf_distill", "label_ratio=0.4")
    unset = ["ema_decay=0", "early_stopping=null", "method.temperature=1", "method.soft_weight=none"]
    unset += ["method.task_weights=fixed", "loss.label=cross_entropy", "loss.gamma_negative=4"]
    assert directory(shared_pipeline, "method=cf_distill", "label_ratio=0.4", *unset) == base
    changes = ["ema_decay=0.9", "early_stopping=3", "method.temperature=2", "method.soft_weight=certainty"]
    for change in (*changes, "method.task_weights=learned", "loss.label=asymmetric", "loss.gamma_negative=2"):
        assert directory(shared_pipeline, "method=cf_distill", "label_ratio=0.4", change) != base
