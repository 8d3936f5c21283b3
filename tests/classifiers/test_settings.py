from dataclasses import replace

import pytest

from src.classifiers.runs import classifier_run, load_fold
from src.classifiers.settings import requirements, resolve, tuned_entry, tuned_with
from src.classifiers.train import report_tuned
from src.errors import ConfigError
from src.files import save_yaml


def resolved(pipeline, *overrides):
    return resolve(pipeline.config("train_classifier", *overrides))


@pytest.fixture
def tuned(tmp_path):
    """Overrides that take tuned settings from a folder, after writing them there."""

    def write(method, entries):
        save_yaml(tmp_path / f"tiny-test_resnet-{method}.yaml", entries)
        return f"tuned_dir={tmp_path}"

    return write


def test_settings_come_from_the_command_then_tuning_then_the_method(shared_pipeline, tuned):
    mtl, ratio, where = (
        "method=mtl_uniform",
        "label_ratio=0.2",
        tuned("mtl_uniform", {"0.2": {"settings": {"alpha": 0.5}}}),
    )
    assert resolved(shared_pipeline, mtl).alpha == 0.2
    assert resolved(shared_pipeline, mtl, ratio, where).alpha == 0.5
    assert resolved(shared_pipeline, mtl, ratio, where, "use_tuned=false").alpha == 0.2
    assert resolved(shared_pipeline, mtl, ratio, where, "alpha=0.7").alpha == 0.7
    assert resolved(shared_pipeline, "method=mtl_shuffled", ratio, where).alpha == 0.5  # tuned_as
    assert resolved(shared_pipeline, "method=contrastive", ratio, where).alpha == 0.2


def test_tuned_settings_made_with_other_settings_are_said(shared_pipeline, tuned, caplog):
    made_with = {"epochs": 10, "batch_size": 16, "seed": 100, "recommender.name": "vae", "recommender.n_factors": 999}
    where = tuned("mtl_uniform", {"0.2": {"settings": {"alpha": 0.5}, "made_with": made_with}})
    with caplog.at_level("INFO"):
        report_tuned(resolved(shared_pipeline, "method=mtl_uniform", where))
    assert "Tuned for mtl_uniform: alpha=0.5; tuned with epochs=10, recommender.n_factors=999" in caplog.text
    assert "batch_size" not in caplog.text


def test_tuning_records_the_cf_model_of_a_method_that_uses_one(shared_pipeline):
    def recorded(method):
        return tuned_with(resolved(shared_pipeline, f"method={method}")).get("recommender.n_factors")

    assert recorded("mtl_uniform") == recorded("cf_distill") == 8
    assert recorded("image_only") is recorded("pseudo_label") is None


def test_tuning_may_set_tunable_settings_only(shared_pipeline, tuned):
    where = tuned("image_only", {"0.2": {"settings": {"epochs": 3}}})
    with pytest.raises(ConfigError, match=r"tuned config sets \['epochs'\]; it may set alpha"):
        resolved(shared_pipeline, "label_ratio=0.2", where)


def test_a_method_needs_only_what_has_weight(shared_pipeline):
    assert not requirements(resolved(shared_pipeline, "method=image_only")).vectors
    assert requirements(resolved(shared_pipeline, "method=mtl_loss")).confidence
    assert not requirements(resolved(shared_pipeline, "method=mtl_loss", "alpha=0")).cf2label
    assert requirements(resolved(shared_pipeline, "method=cf_distill")).soft_labels


def directory(pipeline, *overrides):
    cfg = resolved(pipeline, *overrides)
    return classifier_run(cfg, load_fold(cfg)).directory


def test_a_run_is_named_by_what_defines_its_result(shared_pipeline):
    base = directory(shared_pipeline, "method=mtl_uniform", "label_ratio=0.2")
    assert base.name.startswith("test_resnet-ratio0.2-alpha0.2-fold0-seed0-")
    same = ["trainer.num_workers=2", "loggers=[tensorboard]", "force=true"]
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
        ("batch_size=1", r"batch_size should be in \[2, inf\), but is 1"),
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


def test_settings_come_from_the_nearest_tuned_label_ratio(shared_pipeline, tuned):
    where = tuned("mtl_uniform", {"0.2": {"settings": {"alpha": 1.0}}, "1": {"settings": {"alpha": 0.05}}})
    for ratio, alpha in {0.05: 1.0, 0.2: 1.0, 0.4: 1.0, 0.5: 0.05, 1.0: 0.05}.items():
        cfg = shared_pipeline.config("train_classifier", "method=mtl_uniform", where, f"label_ratio={ratio}")
        assert tuned_entry(cfg, "mtl_uniform")["settings"] == {"alpha": alpha}
    assert tuned_entry(cfg, "contrastive") == {}


def test_some_settings_name_a_run_only_where_they_differ_from_their_default(shared_pipeline):
    base = directory(shared_pipeline, "method=cf_distill", "label_ratio=0.4")
    for value, same in (("null", True), ("3", False)):
        changed = directory(shared_pipeline, "method=cf_distill", "label_ratio=0.4", f"early_stopping={value}")
        assert (changed == base) is same


def test_epochs_of_the_command_come_before_tuned_steps(shared_pipeline, tuned):
    where = tuned("mtl_uniform", {"1": {"settings": {"steps": 300}}})
    cfg = shared_pipeline.config("train_classifier", "method=mtl_uniform", where)
    assert resolve(cfg).steps is None  # every test's command gives epochs
    assert resolve(replace(cfg, called_with=["method=mtl_uniform"])).steps == 300
    assert resolve(replace(cfg, steps=7)).steps == 7
