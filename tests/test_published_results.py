"""The tables in ``results/emoji`` follow from the predictions that lie beside them."""

import shutil

import numpy as np
import pandas as pd
import pytest

from src.data.prepare import prepare_dataset
from src.evaluation.evaluate import evaluate
from tests.pipeline import ROOT, compose_config

PUBLISHED = ROOT / "results" / "emoji"
TABLES = sorted(path.name for path in (PUBLISHED / "evaluation").glob("*.csv"))


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    outputs_dir = tmp_path_factory.mktemp("published")
    shutil.copytree(PUBLISHED, outputs_dir / "emoji", ignore=shutil.ignore_patterns("evaluation", "prepared*"))
    where = "dataset=emoji", f"outputs_dir={outputs_dir}"
    prepare_dataset(compose_config("prepare_dataset", *where))
    evaluate(compose_config("evaluate_methods", *where, "figures=false"))
    return outputs_dir / "emoji" / "evaluation"


@pytest.mark.slow  # a minute of resampling
@pytest.mark.parametrize("name", TABLES)
def test_a_published_table_can_be_made_again(evaluation, name):
    published, made = (pd.read_csv(folder / name) for folder in (PUBLISHED / "evaluation", evaluation))
    assert list(made.columns) == list(published.columns)
    for column in published:
        if published[column].dtype.kind == "f":  # processors differ in how they add
            np.testing.assert_allclose(made[column], published[column], rtol=1e-6, err_msg=column)
        else:
            assert made[column].equals(published[column]), column
