"""Vectors of one's own: matched by id, counted, held-out ones left out, tables stamped."""

import logging

import numpy as np
import pandas as pd
import pytest

from src.artifacts import SEEN_HELD_OUT, VECTORS_FILE, ItemVectors, RunRecord
from src.cf2label.precheck import train_and_check
from src.config.classifiers import TrainerConfig
from src.config.stages import HELD_OUT_INTERACTIONS
from src.data.folds import open_fold
from src.errors import ConfigError, DataError
from src.evaluation.inputs.runs_table import group_by_setting
from src.recommenders.models.external import ExternalConfig, read_vectors
from src.recommenders.models.joint import JointConfig
from src.recommenders.run import recommender_run, table_name
from tests.evaluation.synthetic import describe_run
from tests.pipeline import STAGES, compose_config
from tests.recommenders.planted import write_prepared
from tests.recommenders.test_train import VAE, config


def save(path, ids, width=5):
    """Vectors that know an item's block and number."""
    vectors = np.random.default_rng(0).normal(size=(len(ids), width)).astype(np.float32)
    for row, one in enumerate(ids):
        number = int(one.lstrip("i"))
        vectors[row, number % 3] += 4
        vectors[row, -1] = number
    if path.suffix == ".npz":
        np.savez(path, item_id=np.array(ids), vectors=vectors)
    else:
        pd.DataFrame({"item_id": ids, "vectors": list(vectors)}).to_parquet(path)
    return path


def exported(outputs, recommender, **settings):
    cfg = config(outputs, recommender, **settings)
    metrics = train_and_check(cfg)
    data = open_fold(outputs / "tiny" / "prepared", cfg.fold, cfg.leaks)
    run = recommender_run(cfg, data.interactions_digest)
    return metrics, ItemVectors.load(run.directory / VECTORS_FILE), data


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_vectors_of_train_and_context_items_are_matched_and_counted(tmp_path, ending):
    write_prepared(tmp_path, context=(0, 200))
    ids = [f"i{number}" for number in reversed(range(239))] + ["i9000"]
    path = save(tmp_path / f"vectors.{ending}", ids)
    metrics, stored, data = exported(tmp_path, ExternalConfig(file=str(path)))
    split = data.items.set_index("item_id")["split"]
    assert set(split[stored.item_id]) == {"train", "context"}
    assert "i239" not in stored.item_id
    assert stored.vectors.shape[1] == metrics["n_factors"] == 5
    assert stored.vectors[:, -1].tolist() == [int(one[1:]) for one in stored.item_id]  # joined by id, not by row
    assert metrics["n_vectors_unmatched"] == 1
    assert metrics["n_items_without_vector"] == int(split["i239"] in ("train", "context"))
    assert metrics["n_vectors_of_held_out_items"] == split.drop("i239").isin(["val", "test"]).sum() > 0
    users = data.items["item_id"].iloc[data.train_interactions["item_idx"]].value_counts()
    assert stored.n_users.tolist() == [users[one] for one in stored.item_id]
    assert metrics["pre_check"]["cf2label_mAP"] > 0.9
    assert "auc_strict" not in metrics


def test_held_out_vectors_are_used_only_where_leaks_ask_for_them(tmp_path):
    write_prepared(tmp_path)
    path = save(tmp_path / "vectors.npz", [f"i{number}" for number in range(240)])
    _, stored, _ = exported(tmp_path, ExternalConfig(file=str(path)), leaks=[HELD_OUT_INTERACTIONS])
    assert len(stored.item_id) == 240


def test_without_interactions_they_still_serve(tmp_path):
    write_prepared(tmp_path, interactions=pd.DataFrame({"user_id": [], "item_id": []}, dtype=str))
    path = save(tmp_path / "vectors.npz", [f"i{number}" for number in range(240)])
    _, stored, _ = exported(tmp_path, ExternalConfig(file=str(path)))
    assert len(stored.item_id) == 168
    assert not stored.n_users.any()


def test_each_fold_has_its_file_and_other_content_is_another_run(tmp_path):
    write_prepared(tmp_path)
    for fold, width in ((0, 4), (1, 6)):
        save(tmp_path / f"fold{fold}.npz", [f"i{number}" for number in range(240)], width)
    recommender = ExternalConfig(file=str(tmp_path / "fold{fold}.npz"))
    widths = [exported(tmp_path, recommender, fold=fold)[1].vectors.shape[1] for fold in (0, 1)]
    assert widths == [4, 6]
    before = recommender_run(config(tmp_path, recommender), "digest").directory
    save(tmp_path / "fold0.npz", [f"i{number}" for number in range(240)], 7)
    assert recommender_run(config(tmp_path, recommender), "digest").directory != before
    with pytest.raises(ConfigError, match=r"recommender\.file should be .* but .*fold5\.npz is none"):
        recommender_run(config(tmp_path, recommender, fold=5), "digest")


def test_many_unmatched_ids_are_said_and_no_match_is_an_error(tmp_path, caplog):
    write_prepared(tmp_path)
    path = save(tmp_path / "few.npz", [*(f"i{number}" for number in range(235)), *(f"i0{n}" for n in range(235, 240))])
    with caplog.at_level(logging.WARNING):
        exported(tmp_path, ExternalConfig(file=str(path)))
    assert "5 of 240 ids" in caplog.text
    assert "'i0235' (1 times, nearest known 'i235')" in caplog.text
    path = save(tmp_path / "none.npz", [str(number) for number in range(240)])
    with pytest.raises(DataError, match=r"has none\. 240 of 240 ids .* Perhaps the ids differ in a prefix or suffix"):
        exported(tmp_path, ExternalConfig(file=str(path)))


@pytest.mark.parametrize(("arrays", "message"), [
    ({"item_id": ["a", "b"], "other": [[1.0], [2.0]]}, "vectors is not a file in the archive"),
    ({"item_id": ["a", "a"], "vectors": [[1.0], [2.0]]}, "the same id more than once"),
    ({"item_id": ["a", "b"], "vectors": [[1.0], [np.nan]]}, "NaN or infinite"),
    ({"item_id": ["a", "b"], "vectors": [1.0, 2.0]}, r"shape \(2,\)"),
    ({"item_id": ["a"], "vectors": [[1.0], [2.0]]}, "should have 1 rows"),
    ({"item_id": [1.0, 2.0], "vectors": [[1.0], [2.0]]}, "ids are float64"),
])  # fmt: skip
def test_a_file_that_cannot_be_used_is_said(tmp_path, arrays, message):
    path = tmp_path / "vectors.npz"
    np.savez(path, **{name: np.array(values) for name, values in arrays.items()})
    with pytest.raises(DataError, match=message):
        read_vectors(path, "item_id", "vectors")


def test_damaged_and_ragged_files_are_said(tmp_path):
    for name in ("bad.npz", "bad.parquet"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 nothing")
        with pytest.raises(DataError, match=rf"{name} should hold text or whole numbers in "):
            read_vectors(tmp_path / name, "item_id", "vectors")
    np.savez(tmp_path / "pickle.npz", item_id=np.array(["a", None], object), vectors=np.ones((2, 1)))
    with pytest.raises(DataError, match="allow_pickle"):
        read_vectors(tmp_path / "pickle.npz", "item_id", "vectors")
    pd.DataFrame({"item_id": [1, 2], "vectors": [[1.0, 2.0], [1.0]]}).to_parquet(tmp_path / "ragged.parquet")
    with pytest.raises(DataError, match="cannot be used"):
        read_vectors(tmp_path / "ragged.parquet", "item_id", "vectors")
    pd.DataFrame({"sku": [7, 8], "emb": [[1.0, 2.0], [3.0, 4.0]]}).to_parquet(tmp_path / "good.parquet")
    ids, vectors = read_vectors(tmp_path / "good.parquet", "sku", "emb")
    assert ids.tolist() == ["7", "8"]
    assert vectors.tolist() == [[1, 2], [3, 4]]


def test_tables_say_where_one_file_serves_all_folds():
    shared = table_name(ExternalConfig(file="vectors.npz"))
    assert shared == f"external{SEEN_HELD_OUT}"
    assert table_name(ExternalConfig(file="vectors_{fold}.npz")) == "external"
    assert table_name(VAE) == "vae"
    runs = [describe_run("a", "image_only"), describe_run("b", "mtl_loss", recommender=shared)]
    (rows,) = group_by_setting([RunRecord(**run) for run in runs], "image_only").values()
    assert [row.name for row in rows] == ["image_only", "mtl_loss (recommender=external, has seen held-out users)"]


def test_it_cannot_be_fitted():
    parts = {"vae": VAE, "external": ExternalConfig(file="x.npz")}
    with pytest.raises(ConfigError, match="is read, not fitted"):
        JointConfig(parts=parts).build(TrainerConfig())


@pytest.mark.slow
def test_they_teach_a_classifier_and_its_table_is_stamped(pipeline):
    ids = pd.read_parquet(pipeline.outputs_dir / "tiny" / "prepared" / "items.parquet")["item_id"].to_numpy(str)
    vectors = np.random.default_rng(0).random((len(ids), 3))
    np.savez(pipeline.outputs_dir / "v.npz", item_id=ids, vectors=vectors)
    given = ["recommender=external", f"recommender.file={pipeline.outputs_dir / 'v.npz'}"]
    for stage, *more in (
        ("train_recommender",),
        ("train_classifier", "method=cf2label"),
        ("train_classifier", "method=mtl_uniform", "alpha=0.2", "epochs=1"),
    ):
        shared = [one for one in pipeline.overrides(stage) if not one.startswith("recommender.")]
        STAGES[stage](compose_config(stage, *shared, *given, *more))
    pipeline.run("predict_testset")
    pipeline.run("evaluate_methods", "figures=false")
    (table,) = (pipeline.outputs_dir / "tiny" / "evaluation").glob("methods_*.md")
    assert "mtl_uniform (recommender=external, has seen held-out users)" in table.read_text()
