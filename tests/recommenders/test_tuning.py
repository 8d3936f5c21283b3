"""CF models are tuned on interactions that no fold reports, with as many trials each, and can be interrupted."""

from dataclasses import replace

import pandas as pd
import pytest
import yaml

from src.config.classifiers import SearchConfig
from src.config.store import SCHEMAS
from src.data.folds import open_fold
from src.entry import CONFIGS
from src.errors import ConfigError
from src.files import load_yaml, save_table
from src.recommenders.interactions import build_user_item
from src.recommenders.models.ials import IALSConfig
from src.recommenders.tuning import tune_recommender
from tests.recommenders.planted import write_prepared
from tests.recommenders.test_train import config

SPACE = {"n_factors": SearchConfig(choices=[1, 3, 20]), "regularization": SearchConfig(low=0.1, high=200.0)}
IALS = IALSConfig(trials=[{"n_factors": 1}, {"n_factors": 3}], search=SPACE)


def tune(folder, model=IALS, n_trials=4, **settings):
    tuned = folder / "tuned"
    result = tune_recommender(config(folder, model, tune=True, n_trials=n_trials, tuned_dir=str(tuned), **settings))
    return (
        result,
        tuned / f"tiny-{model.name}.yaml",
        load_yaml(folder / "tiny" / "tuning" / f"recommender-{model.name}.yaml"),
    )


def test_the_best_trial_is_written_as_a_config_and_listed_ones_come_first(tmp_path):
    write_prepared(tmp_path)
    result, path, trials = tune(tmp_path)
    assert [trial["settings"] for trial in trials[:2]] == [{"n_factors": n, "regularization": 100.0} for n in (1, 3)]
    assert len(trials) == 4
    best = max(trials, key=lambda trial: trial["AUC"])
    assert result == {"settings": best["settings"], "tuning_auc": best["AUC"]}
    assert path.read_text().startswith("# @package recommender\n")
    assert yaml.safe_load(path.read_text()) == best["settings"]
    assert trials[1]["AUC"] > trials[0]["AUC"] + 0.05  # three blocks take more than one direction


def test_the_choice_has_the_settings_that_it_was_made_with(tmp_path):
    write_prepared(tmp_path)
    result, path, trials = tune(tmp_path, replace(IALS, interaction_weight=7.0))
    assert result["settings"] == yaml.safe_load(path.read_text())
    assert result["settings"].items() > max(trials, key=lambda trial: trial["AUC"])["settings"].items()
    assert result["settings"]["interaction_weight"] == 7.0


def test_more_trials_continue_where_the_last_ones_ended(tmp_path, monkeypatch):
    write_prepared(tmp_path)
    _, _, first = tune(tmp_path)
    fits = []
    build = IALSConfig.build
    monkeypatch.setattr(IALSConfig, "build", lambda cfg, trainer: fits.append(cfg) or build(cfg, trainer))
    _, _, more = tune(tmp_path, n_trials=5)
    assert len(fits) == 1
    assert [trial["settings"] for trial in more[:4]] == [trial["settings"] for trial in first]


def test_another_space_is_another_search(tmp_path):
    write_prepared(tmp_path)
    tune(tmp_path)
    wider = SPACE | {"n_factors": SearchConfig(choices=[2, 4])}
    _, _, trials = tune(tmp_path, replace(IALS, search=wider, trials=[{"n_factors": 2}]), n_trials=2)
    assert {trial["settings"]["n_factors"] for trial in trials} <= {2, 4}


def test_reported_interactions_play_no_part(tmp_path):
    folder = write_prepared(tmp_path)
    result, _, trials = tune(tmp_path)
    data = open_fold(folder, 0)
    whole = build_user_item(data.train_interactions, data.items["item_id"].to_numpy())
    _, _, reported = whole.split(0, IALS.auc_holdout)
    entries = reported.tocoo()
    users, items = data.train_interactions["user_idx"].unique(), data.train_interactions["item_idx"].unique()
    users.sort(), items.sort()
    gone = set(zip(users[entries.row].tolist(), items[entries.col].tolist(), strict=True))
    table = pd.read_parquet(folder / "interactions.parquet")
    kept = [pair not in gone for pair in zip(table["user_idx"], table["item_idx"], strict=True)]
    assert len(gone) == len(table) - sum(kept) > 900
    save_table(folder / "interactions.parquet", table[kept].reset_index(drop=True))
    again, _, without = tune(tmp_path)
    assert again == result
    assert [trial["AUC"] for trial in without] == [trial["AUC"] for trial in trials]


@pytest.mark.parametrize("model", [IALSConfig(), IALSConfig(trials=[{"max_iter": 3}], search=SPACE)])
def test_a_model_says_what_is_searched(tmp_path, model):
    with pytest.raises(ConfigError, match="needs a range of each setting in"):
        tune(tmp_path, model)


@pytest.mark.parametrize("path", sorted((CONFIGS / "recommender_tuned").glob("*.yaml")), ids=lambda path: path.stem)
def test_tuned_settings_are_those_of_the_model(path):
    name = path.stem.partition("-")[2]
    schema = SCHEMAS["recommender"].get(name, SCHEMAS["recommender"]["joint"])
    assert set(load_yaml(path)) <= set(schema.__dataclass_fields__)


def test_all_models_that_are_compared_have_as_many_listed_trials():
    named = load_yaml(CONFIGS / "experiment" / "tune_cf.yaml")["recommenders"]
    listed = {name: load_yaml(CONFIGS / "recommender" / f"{name}.yaml") for name in named}
    assert {name: len(content["trials"]) for name, content in listed.items()} == dict.fromkeys(named, 4)
    for name, content in listed.items():
        schema = SCHEMAS["recommender"][name].__dataclass_fields__
        assert {setting for trial in content["trials"] for setting in trial} <= set(content["search"]) <= set(schema)
