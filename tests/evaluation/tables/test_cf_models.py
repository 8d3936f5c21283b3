"""Tables 3 and 4, against arithmetic by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student_t

from src.evaluation.tables.cf_models import compare_models, save_cf_tables


def table(values):
    rows = [(model, fold, v) for model, by_fold in values.items() for fold, each in by_fold.items() for v in each]
    return pd.DataFrame(rows, columns=["model", "fold", "value"])


def test_a_row_has_the_mean_its_interval_and_the_difference_on_common_folds():
    values = {"bpr": {0: [0.6], 1: [0.8]}, "vae": {0: [0.7, 0.9], 1: [0.9], 2: [0.5]}, "other": {2: [0.1]}}
    bpr, vae, other = compare_models(table(values), "bpr", {"vae": 0.97})
    assert (bpr["value"], bpr["difference"], bpr["p_t_test"], bpr["paper"]) == (pytest.approx(0.7), None, None, None)
    half = student_t.ppf(0.975, 1) * np.std([0.6, 0.8], ddof=1) * np.sqrt(1 / 2 + 1 / 4)
    assert bpr["low"] == pytest.approx(0.7 - half)
    assert vae["value"] == pytest.approx((0.8 + 0.9 + 0.5) / 3)
    assert vae["difference"] == pytest.approx((0.2 + 0.1) / 2)
    statistic = 0.15 / np.sqrt(np.var([0.2, 0.1], ddof=1) * (1 / 2 + 1 / 4))
    assert vae["p_t_test"] == pytest.approx(2 * student_t.sf(statistic, 1))
    assert vae["p_t_test_holm"] == vae["p_t_test"]
    assert (vae["paper"], vae["n_folds"]) == (0.97, 3)
    assert (other["low"], other["difference"]) == (None, None)


def test_both_tables_are_written_and_repeat_byte_for_byte(tmp_path):
    auc = table({"most_popular": {0: [0.5], 1: [0.6]}, "bpr": {0: [0.6], 1: [0.7]}}).assign(table="auc")
    paper = {"auc": {"bpr": 0.97}}
    text = save_cf_tables(tmp_path / "a", "tiny", auc, paper)
    assert "| bpr | 0.650 |" in text
    assert "| paper |" in text
    assert "Difference: to bpr" in text
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["cf_auc.csv", "cf_auc.md", "cf_auc.tex"]
    save_cf_tables(tmp_path / "b", "tiny", auc, paper)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_time_and_memory_stand_beside_the_auc_and_the_papers_models_saw_more_than_valid_ones(tmp_path):
    auc = table({"bpr": {0: [0.5], 1: [0.6]}, "vae": {0: [0.6], 1: [0.7]}}).assign(table="auc")
    seconds = table({"bpr": {0: [10.0, 20.0]}, "vae": {0: [400.0]}}).assign(table="seconds")
    memory = table({"bpr": {0: [1.0]}, "vae": {0: [2.5]}}).assign(table="gigabytes")
    values, paper = pd.concat([auc, seconds, memory]), {"auc": {"vae": 0.82}}
    valid = save_cf_tables(tmp_path, "tiny", values, paper)
    assert "| gigabytes | seconds |" in valid
    assert valid.count("| 1 | 15 |") == valid.count("| 2.5 | 400 |") == 1
    assert "The paper's models saw all interactions" in valid
    leaky = save_cf_tables(tmp_path, "tiny", values, paper, ["held_out_interactions"])
    assert "as the original did, not valid" in leaky
    assert "The paper's models saw" not in leaky
    assert (tmp_path / "cf_auc.csv").is_file()
    assert (tmp_path / "cf_auc_leaky.csv").is_file()
