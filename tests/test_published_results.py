"""The tables in ``results/emoji`` follow from the predictions that lie beside them."""

import shutil

import numpy as np
import pandas as pd
import pytest

from src.data.preparation.prepare import prepare_dataset
from src.evaluation.evaluate import evaluate
from tests.pipeline import ROOT, compose_config

PUBLISHED = ROOT / "results" / "emoji"


@pytest.mark.slow  # two minutes of resampling each
@pytest.mark.parametrize(("study", "folder"), [("main", ""), ("frozen", "frozen")])
def test_the_published_tables_can_be_made_again(tmp_path, study, folder):
    shutil.copytree(PUBLISHED, tmp_path / "emoji", ignore=shutil.ignore_patterns("evaluation", "prepared*"))
    where = "dataset=emoji", f"outputs_dir={tmp_path}"
    prepare_dataset(compose_config("prepare_dataset", *where))
    evaluate(compose_config("evaluate_methods", *where, "figures=false", f"study={study}"))
    tables = sorted((PUBLISHED / "evaluation" / folder).glob("*.csv"))
    assert tables
    for path in tables:
        published, made = pd.read_csv(path), pd.read_csv(tmp_path / "emoji" / "evaluation" / folder / path.name)
        assert list(made.columns) == list(published.columns), path.name
        for column in published:
            place = f"{path.name}, {column}"
            if published[column].dtype.kind == "f":  # processors differ in how they add
                np.testing.assert_allclose(made[column], published[column], rtol=1e-6, err_msg=place)
            else:
                assert made[column].equals(published[column]), place
