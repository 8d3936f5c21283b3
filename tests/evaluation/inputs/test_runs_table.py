"""Which runs are compared: settings, variants, missing pairs, and errors that name the command to run."""

import logging

import pytest

from src.errors import ArtifactError
from src.evaluation.inputs.runs_table import RunRecord, Setting, common_pairs, group_by_setting, load_run_records
from src.files import save_yaml
from tests.evaluation.synthetic import describe_run

SETTING = Setting("net_a", 64, 1.0)


def _record(method: str, fold: int = 0, seed: int = 0, **more) -> RunRecord:
    name = f"{method}_{fold}_{seed}_" + "_".join(map(str, more.values()))
    return RunRecord(**describe_run(name, method, fold=fold, seed=seed, **more))


def test_baseline_comes_first_then_the_order_of_the_paper():
    methods = ["zeta", "mtl_loss", "image_only", "sequential", "alpha_method"]
    rows = group_by_setting([_record(m) for m in methods], "image_only")[SETTING]
    assert [row.name for row in rows] == ["image_only", "sequential", "mtl_loss", "alpha_method", "zeta"]


def test_settings_are_separate_and_ordered():
    records = [_record("image_only", label_ratio=r, image_size=s) for r in (1.0, 0.2) for s in (224, 64)]
    settings = list(group_by_setting(records, "image_only"))
    assert settings == [("net_a", 64, 0.2), ("net_a", 64, 1.0), ("net_a", 224, 0.2), ("net_a", 224, 1.0)]
    assert settings[0].slug == "net-a_64px_ratio0.2"
    assert settings[0].title == "net_a, 64 px, label ratio 0.2"


def test_variants_are_rows_named_by_what_differs():
    records = [_record("image_only"), _record("cf_distill", distill_lambda=0.5)]
    records += [_record("mtl_loss", alpha=a, recommender=r) for a in (2.0, 0.5) for r in ("bpr", "vae")]
    names = [row.name for row in group_by_setting(records, "image_only")[SETTING]]
    expected = [f"mtl_loss (alpha={a}, recommender={r})" for a in (0.5, 2.0) for r in ("bpr", "vae")]
    assert names == ["image_only", *expected, "cf_distill"]


def test_two_runs_of_one_fold_and_seed_are_refused():
    records = [_record("image_only", recommender="vae"), _record("image_only", recommender="bpr")]
    with pytest.raises(ArtifactError, match=r"expected one run of image_only for fold 0 and seed 0, but got .*study="):
        group_by_setting(records, "image_only")


def test_missing_pairs_are_counted_and_warned_about(caplog):
    records = [_record("image_only", fold=f, seed=s) for f in (0, 1) for s in (0, 1)]
    records += [_record("mtl_loss", fold=0, seed=s) for s in (0, 1, 2)]
    baseline, row = group_by_setting(records, "image_only")[SETTING]
    with caplog.at_level(logging.WARNING):
        assert common_pairs(row, baseline, SETTING) == ([(0, 0), (0, 1)], 3)
    assert "compared on 2 (fold, seed) pairs; 3 that only one of them has" in caplog.text
    assert "[(0, 2), (1, 0), (1, 1)]" in caplog.text


def test_errors_name_the_command_to_run(tmp_path):
    folder = tmp_path / "toys"
    with pytest.raises(ArtifactError, match=r"Nothing to evaluate.*main_predict_testset.py dataset=toys study=main"):
        load_run_records(folder, "main")
    save_yaml(folder / "results.yaml", {"runs": [describe_run("r", "image_only", study="tune")]})
    with pytest.raises(ArtifactError, match=r"no run of study 'main' \(studies there: tune\)"):
        load_run_records(folder, "main")
    assert len(load_run_records(folder, "tune")) == 1
    save_yaml(folder / "results.yaml", ["runs"])
    with pytest.raises(ArtifactError, match="should have a list `runs`"):
        load_run_records(folder, "main")
    save_yaml(folder / "results.yaml", {"runs": [{"run": "r", "fold": 0}]})
    with pytest.raises(ArtifactError, match=r"or a run without 'task'; write it again with `python main_predict"):
        load_run_records(folder, "main")
