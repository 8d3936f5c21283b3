import logging
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from src.artifacts import INTERACTIONS_FILE, VECTORS_FILE, ItemVectors
from src.cf2label.precheck import train_and_check
from src.config.cf2label import CF2LabelConfig
from src.config.classifiers import TrainerConfig
from src.config.datasets import DatasetConfig
from src.config.setting import check
from src.config.stages import HELD_OUT_INTERACTIONS, RecommenderTrainingConfig
from src.data.folds import open_fold
from src.entry import compose_config
from src.errors import ArtifactError, ConfigError, DataError
from src.files import PROJECT, load_json, save_table
from src.recommenders.models.cornac import BPRConfig
from src.recommenders.models.most_popular import MostPopularConfig
from src.recommenders.models.vae import VAEConfig
from src.recommenders.run import recommender_run, require_vectors
from tests.recommenders.planted import block_matrix, interaction_table, write_prepared

VAE = VAEConfig(n_factors=16, latent_size=8, max_steps=60, batch_size=64)


def config(outputs, recommender=VAE, **settings):
    return RecommenderTrainingConfig(
        dataset=DatasetConfig(name="tiny", source="tabular"),
        recommender=recommender,
        cf2label=CF2LabelConfig(max_steps=60, batch_size=32, lr=0.02),
        trainer=TrainerConfig(accelerator="cpu", progress_bar=False),
        outputs_dir=str(outputs),
        **settings,
    )


def run_dir(outputs, recommender=VAE):
    digest = open_fold(outputs / "tiny" / "prepared", 0).interactions_digest
    return recommender_run(config(outputs, recommender), digest).directory


def load(outputs):
    return ItemVectors.load(run_dir(outputs) / VECTORS_FILE)


def refuse_to_fit(*_):
    raise AssertionError("fitted")


def test_vectors_cover_train_and_context_items_and_know_the_labels(tmp_path):
    write_prepared(tmp_path, context=(0, 200))  # item 0 lies in a test part, 200 in a train part: neither has an image
    metrics = train_and_check(config(tmp_path))
    vectors = load(tmp_path)
    data = open_fold(tmp_path / "tiny" / "prepared", 0)
    allowed = data.items.loc[data.items["split"].isin(["train", "context"]), "item_id"]
    assert set(vectors.item_id) == set(allowed)
    assert vectors.vectors.shape == (len(allowed), 16)
    assert vectors.vectors.dtype == np.float32
    counts = data.items["item_id"].iloc[data.train_interactions["item_idx"]].value_counts()
    assert vectors.n_users.tolist() == [counts[item] for item in vectors.item_id]
    assert metrics["auc_half_credit"] >= metrics["auc_strict"] > 0.7
    assert metrics["pre_check"]["cf2label_mAP"] > 0.9
    assert metrics["pre_check"]["shuffled_mAP"] < 0.6
    assert metrics["pre_check"]["popularity_mAP"] == pytest.approx(1 / 3, abs=0.02)
    curve = pd.read_csv(run_dir(tmp_path) / "metrics.csv")
    assert curve.columns.tolist() == ["step", "train/loss", "train/kl"]
    assert curve["train/loss"].iloc[-1] < curve["train/loss"].iloc[0]


def test_a_finished_run_is_skipped_and_an_interrupted_one_ends_the_same(tmp_path, monkeypatch):
    write_prepared(tmp_path)
    first = train_and_check(config(tmp_path))
    files = {path.name: path.read_bytes() for path in run_dir(tmp_path).iterdir()}
    monkeypatch.setattr(VAEConfig, "build", refuse_to_fit)
    assert train_and_check(config(tmp_path)) == first
    monkeypatch.undo()
    (run_dir(tmp_path) / "manifest.json").unlink()
    (run_dir(tmp_path) / "metrics.json").unlink()
    assert train_and_check(config(tmp_path)) == first
    for name, content in files.items():
        if name != "manifest.json":  # holds the wall-clock
            assert (run_dir(tmp_path) / name).read_bytes() == content, name
    assert train_and_check(config(tmp_path, force=True)) == first


def test_changed_labels_redo_the_precheck_but_not_the_vectors(tmp_path, monkeypatch):
    folder = write_prepared(tmp_path)
    first = train_and_check(config(tmp_path))
    items = pd.read_parquet(folder / "items.parquet")
    items["labels"] = items["labels"].sample(frac=1, random_state=0).to_numpy()
    save_table(folder / "items.parquet", items)
    monkeypatch.setattr(VAEConfig, "build", refuse_to_fit)
    second = train_and_check(config(tmp_path))
    assert second["auc_strict"] == first["auc_strict"]
    assert second["pre_check"]["cf2label_mAP"] < 0.6 < first["pre_check"]["cf2label_mAP"]


def test_held_out_interactions_change_nothing(tmp_path):
    folder = write_prepared(tmp_path)
    train_and_check(config(tmp_path))
    before = (run_dir(tmp_path) / VECTORS_FILE).read_bytes()
    data = open_fold(folder, 0)
    held = np.flatnonzero(data.items["split"].isin(["val", "test"]))
    table = pd.read_parquet(folder / INTERACTIONS_FILE)
    table = table[~table["item_idx"].isin(held)].reset_index(drop=True)
    save_table(folder / INTERACTIONS_FILE, table.assign(user_idx=table["user_idx"] * 2 + 7))  # as other users would
    train_and_check(config(tmp_path, force=True))
    assert (run_dir(tmp_path) / VECTORS_FILE).read_bytes() == before


@pytest.mark.parametrize("recommender", [BPRConfig(n_factors=8, max_iter=30), MostPopularConfig()])
def test_other_models(tmp_path, recommender):
    write_prepared(tmp_path)
    metrics = train_and_check(config(tmp_path, recommender))
    exported = (run_dir(tmp_path, recommender) / VECTORS_FILE).is_file()
    assert exported == isinstance(recommender, BPRConfig)
    assert (metrics["pre_check"] is None) == isinstance(recommender, MostPopularConfig)
    if exported:
        assert ItemVectors.load(run_dir(tmp_path, recommender) / VECTORS_FILE).vectors.shape[1] == 8


def test_users_with_one_interaction_are_counted_and_do_no_harm(tmp_path):
    table = interaction_table(block_matrix(300, 240, per_user=12))
    single = pd.DataFrame({"user_id": [f"single{index}" for index in range(40)], "item_id": "i239"})
    write_prepared(tmp_path, interactions=pd.concat([table, single], ignore_index=True))
    metrics = train_and_check(config(tmp_path))
    assert metrics["n_users_with_one_interaction"] >= 40
    assert metrics["auc_n_users_skipped"] > 0


def test_without_interactions(tmp_path):
    write_prepared(tmp_path, interactions=pd.DataFrame({"user_id": [], "item_id": []}, dtype=str))
    with pytest.raises(DataError, match="the train items of this fold have none"):
        train_and_check(config(tmp_path))


def test_missing_vectors_are_answered_with_the_command(tmp_path):
    write_prepared(tmp_path)
    given = ("recommender.beta=0.1", "dataset=tabular", "method=mtl_loss", "seed=3", "outputs_dir=x y")
    digest = open_fold(tmp_path / "tiny" / "prepared", 0).interactions_digest
    run = recommender_run(config(tmp_path, called_with=list(given)), digest)
    command = "python main_train_recommender.py recommender.beta=0.1 dataset=tabular 'outputs_dir=x y' fold=0 seed=0"
    with pytest.raises(ArtifactError, match=command):
        run.require()
    with pytest.raises(ConfigError, match="most_popular has no item vectors; set recommender=vae"):
        require_vectors(config(tmp_path, MostPopularConfig()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"auc_holdout": 1.0}, r"recommender\.auc_holdout should be in \(0, 0\.9\], but is 1.0"),
        ({"max_steps": 0}, r"max_steps should be in \[1, inf\), but is 0"),
        ({"dropout": 1.0}, r"dropout should be in \[0, 1\)"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        check(config(tmp_path, VAEConfig(**settings)))


@pytest.mark.parametrize("name", ["most_popular", "bpr", "vae", "vae_no_bias", "cornac", "ials", "vaecf"])
def test_every_config_composes_and_builds(name):
    cfg = compose_config("train_recommender", [f"recommender={name}"])
    assert cfg.recommender.name == name
    cfg.recommender.build(cfg.trainer)
    assert getattr(cfg.recommender, "item_bias", None) is {"vae": True, "vae_no_bias": False}.get(name)


def test_commands_import_what_is_slow_only_where_it_is_used():
    scripts = sorted(path.stem for path in PROJECT.glob("main_*.py"))
    code = f"import sys, src.recommenders.run, {', '.join(scripts)}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=PROJECT)
    assert len(scripts) == 7
    assert not {"torch", "lightning", "timm", "sklearn", "matplotlib", "cornac"} & set(loaded.stdout.split())


def test_main_returns_the_metrics(tmp_path):
    write_prepared(tmp_path, name="emoji")
    command = [sys.executable, "main_train_recommender.py", "recommender=most_popular", f"outputs_dir={tmp_path}"]
    assert subprocess.run(command, check=False, cwd=PROJECT).returncode == 0
    (metrics,) = (tmp_path / "emoji").glob("recommender/most_popular/*/metrics.json")
    assert load_json(metrics)["n_items"] == 168


def test_a_warm_start_keeps_known_items_vectors_and_places_new_ones_among_them(tmp_path, caplog):
    everything = interaction_table(block_matrix(600, 240, 3, per_user=12))
    new = {f"i{number}" for number in range(141, 153)}
    write_prepared(tmp_path, interactions=everything[~everything["item_id"].isin(new)])
    train_and_check(config(tmp_path))
    before, old_run = load(tmp_path), run_dir(tmp_path)
    write_prepared(tmp_path, interactions=everything)
    assert run_dir(tmp_path) != old_run
    warm = replace(VAE, init=str(old_run), beta=0.02)
    assert run_dir(tmp_path, warm) != run_dir(tmp_path, replace(VAE, beta=0.02))
    with caplog.at_level(logging.INFO):
        train_and_check(config(tmp_path, warm))
    after = ItemVectors.load(run_dir(tmp_path, warm) / VECTORS_FILE)
    kept = np.isin(after.item_id, before.item_id)
    assert f"{kept.sum()} of {len(kept)} items keep their vectors" in caplog.text
    assert after.item_id[kept].tolist() == before.item_id.tolist()
    assert after.vectors[kept].tobytes() == before.vectors.tobytes()
    assert after.bias[kept].tobytes() == before.bias.tobytes()
    assert 0 < (~kept).sum() <= len(new)
    block = np.array([int(one[1:]) % 3 for one in after.item_id])
    centres = np.stack([before.vectors[block[kept] == one].mean(axis=0) for one in range(3)])
    assert (np.argmax(after.vectors[~kept] @ centres.T, axis=1) == block[~kept]).mean() > 0.9


def test_a_warm_start_from_elsewhere_is_refused(tmp_path):
    write_prepared(tmp_path)
    train_and_check(config(tmp_path))
    warm = replace(VAE, init=str(run_dir(tmp_path)))
    for other in ({"fold": 1}, {"recommender": replace(warm, n_factors=8)}, {"leaks": [HELD_OUT_INTERACTIONS]}):
        with pytest.raises(ConfigError, match=r"recommender\.init should be a run with dataset"):
            recommender_run(config(tmp_path, **{"recommender": warm} | other), "digest")
    with pytest.raises(ArtifactError, match=r"nowhere/manifest\.json does not exist"):
        recommender_run(config(tmp_path, replace(VAE, init="nowhere")), "digest")
