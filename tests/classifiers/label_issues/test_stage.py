"""The search for label issues on the tiny pipeline, as a command runs it."""

import pandas as pd
import pytest

from src.artifacts import PREPARED
from src.data.folds import TRAIN, open_fold
from src.errors import ArtifactError


def issues(pipeline):
    (run,) = pipeline.runs("label_issues")
    return pd.read_csv(run / "label_issues.csv", keep_default_na=False)


@pytest.mark.slow
def test_planted_errors_are_found_and_explained(pipeline):
    metrics = pipeline.classify("label_issues", "method.planted_errors=0.1", "cf2label.max_steps=200")
    table = issues(pipeline)
    fold = open_fold(pipeline.outputs_dir / "tiny" / PREPARED, 0)
    train = fold.split(TRAIN)
    assert set(table["item_id"]) == set(train["item_id"])  # no validation or test item
    right = train.set_index("item_id")["labels"].reindex(table["item_id"]).map(set).to_numpy()
    given = table["labels"].str.split("|").map(set).to_numpy()
    assert ((given != right) == table["planted"]).all()
    assert metrics["n_planted"] == table["planted"].sum() > 3
    assert min(metrics[f"auroc_{source}"] for source in ("image", "cf")) > 0.7
    assert metrics["auroc_both"] > 0.9
    assert table["probability_of_error"].is_monotonic_decreasing
    first = table[table["planted"]].iloc[0]
    named = {name: set(first[name].split("|")) - {""} for name in ("labels", "improbable_labels", "missing_labels")}
    assert first["source"]
    assert named["improbable_labels"] <= named["labels"]
    assert not named["missing_labels"] & named["labels"]


@pytest.mark.slow
def test_an_item_without_interactions_is_judged_by_its_image(pipeline):
    path = pipeline.outputs_dir / "tiny" / PREPARED / "interactions.parquet"
    interactions = pd.read_parquet(path)
    fold = open_fold(path.parent, 0)
    silent = fold.items.index[fold.items["split"] == TRAIN][:5]
    interactions[~interactions["item_idx"].isin(silent)].to_parquet(path, index=False)
    with pytest.raises(ArtifactError, match=r"main_train_recommender\.py"):
        pipeline.classify("label_issues")
    pipeline.run("train_recommender")
    metrics = pipeline.classify("label_issues")
    assert metrics["n_without_vector"] == 5
    table = issues(pipeline).set_index("item_id").loc[fold.items["item_id"][silent]]
    assert (table["n_users"] == 0).all()
    assert (table["score_cf"].abs() < 1e-3).all()
    assert (table["score_image"].abs() > 1e-3).any()
