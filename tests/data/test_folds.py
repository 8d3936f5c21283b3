import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from src.artifacts import PREPARED
from src.data import folds
from src.data.folds import TEST, TRAIN, VAL, FoldData, label_mask, open_fold, split_of_parts
from src.errors import ArtifactError


def test_folds_test_on_disjoint_parts():
    part = np.arange(20)
    tested = [set(part[split_of_parts(part, fold) == TEST]) for fold in range(6)]
    assert tested[0] == {0, 1, 2}
    assert tested[5] == {15, 16, 17}
    assert len(set.union(*tested)) == 18


def test_a_split_holds_15_15_70_percent_of_the_parts():
    split = split_of_parts(np.arange(20), 5)
    assert [(split == name).sum() for name in (TEST, VAL, TRAIN)] == [3, 3, 14]
    assert set(np.flatnonzero(split == VAL)) == {18, 19, 0}


def test_label_masks_are_nested_and_independent_of_order():
    item_id = np.array([f"i{index}" for index in range(2000)])
    small, large = label_mask(item_id, 0.2, 0), label_mask(item_id, 0.5, 0)
    assert not (small & ~large).any()
    assert abs(small.mean() - 0.2) < 0.03
    assert (label_mask(item_id[::-1], 0.2, 0)[::-1] == small).all()
    assert (label_mask(item_id, 0.2, 1) != small).any()
    assert label_mask(item_id, 1.0, 0).all()


@pytest.mark.parametrize(("names", "expected"), [("ba", [[1, 0], [0, 0], [0, 0], [1, 1]]), ("", [[], [], [], []])])
def test_targets_are_multi_hot_in_the_order_of_the_columns(names, expected):
    labels = pd.Series([["b"], None, [], ["a", "b"]] if names else [[], None, [], []], dtype=object)
    fold = FoldData(pd.DataFrame({"labels": labels}), pd.DataFrame(), list(names), "", Path())
    targets = fold.targets(fold.items)
    assert targets.tolist() == expected
    assert targets.dtype == np.float32


def test_a_fold_withholds_test_labels_and_held_out_interactions(shared_pipeline):
    fold = open_fold(shared_pipeline.outputs_dir / "tiny" / PREPARED, 0)
    assert fold.split(TEST)["labels"].isna().all()
    assert fold.split(VAL)["labels"].notna().all()
    held_out = set(fold.split(TEST)["item_id"]) | set(fold.split(VAL)["item_id"])
    assert held_out
    seen = set(fold.items["item_id"].to_numpy()[fold.train_interactions["item_idx"]])
    assert seen
    assert not held_out & seen


def test_digests_ignore_what_is_withheld_and_notice_the_rest(shared_pipeline, tmp_path):
    prepared = tmp_path / "tiny" / PREPARED
    shutil.copytree(shared_pipeline.outputs_dir / "tiny" / PREPARED, prepared)
    before = open_fold(prepared, 0)
    items = pd.read_parquet(prepared / "items.parquet")
    changed = items.copy()
    test = split_of_parts(items["part"].to_numpy(), 0) == TEST
    changed.loc[test, "labels"] = changed.loc[test, "labels"].iloc[::-1].to_numpy()
    changed.to_parquet(prepared / "items.parquet", index=False)
    assert open_fold(prepared, 0).items_digest == before.items_digest
    assert open_fold(prepared, 1).items_digest != open_fold_of(items, prepared, 1).items_digest


def open_fold_of(items: pd.DataFrame, prepared, fold: int) -> folds.FoldData:
    items.to_parquet(prepared / "items.parquet", index=False)
    return open_fold(prepared, fold)


def test_errors_name_the_next_step(tmp_path):
    with pytest.raises(ArtifactError, match=r"python main_prepare_dataset\.py dataset=toys"):
        open_fold(tmp_path / "toys" / PREPARED, 0)
