"""The search for settings: seeded, resumable, pruned; and through the command, on validation alone."""

import math
import shutil
from types import SimpleNamespace

import pytest

from src.classifiers.search import search
from src.config.classifiers import AdamWCosineConfig, MethodConfig, SearchConfig
from src.config.stages import ClassifierTrainingConfig
from src.errors import ConfigError
from src.files import load_yaml


def config(n_trials=10, **method):
    space = {
        "alpha": SearchConfig(low=0.01, high=10.0, log=True),
        "standardize_vectors": SearchConfig(choices=[True, False]),
    }
    settings = {"name": "mtl", "trials": [{"alpha": 0.02}, {"alpha": 5.0}], "search": space} | method
    cfg = ClassifierTrainingConfig(
        method=MethodConfig(**settings), study="tune", tune=True, n_trials=n_trials, epochs=4, image_size=32
    )
    cfg.optimizer = AdamWCosineConfig(lr=0.1)
    return cfg


def objective(settings):
    return -abs(math.log(settings["alpha"] / 0.5)) - 0.1 * (not settings["standardize_vectors"])


class Attempts:
    """Runs trials; is cut off at the start of trial ``cut``."""

    def __init__(self, cut=None):
        self.tried, self._cut = [], cut

    def __call__(self, cfg, settings, pruner):
        if len(self.tried) == self._cut:
            self._cut = None
            raise KeyboardInterrupt
        self.tried.append(settings)
        return objective(settings)


@pytest.mark.slow
def test_draws_come_from_the_search_space_and_get_better(tmp_path):
    attempts = Attempts()
    trials = search(config(n_trials=25), tmp_path / "a.sqlite", attempts)
    assert [trial["settings"] for trial in trials] == attempts.tried
    assert all(0.01 <= settings["alpha"] <= 10 for settings in attempts.tried)
    assert {settings["standardize_vectors"] for settings in attempts.tried} == {True, False}
    best = max(trials, key=lambda trial: trial["val_mAP"])
    assert abs(math.log(best["settings"]["alpha"] / 0.5)) < 0.4


def test_methods_draw_the_same_values_of_settings_that_both_have_until_results_guide_them(tmp_path):
    def attempt(cfg, settings, pruner):
        return settings["lr"]

    lr, weight = SearchConfig(low=1e-4, high=0.1, log=True), SearchConfig(low=0.0, high=1.0)
    spaces = {"image_only": {"lr": lr}, "cf_distill": {"lr": lr, "distill_lambda": weight}}
    tried = {
        name: search(config(name=name, search=space), tmp_path / f"{name}.sqlite", attempt)
        for name, space in spaces.items()
    }
    drawn = {name: [trial["settings"]["lr"] for trial in trials] for name, trials in tried.items()}
    assert drawn["image_only"] == drawn["cf_distill"]
    assert len({trial["settings"]["distill_lambda"] for trial in tried["cf_distill"]}) == 10


@pytest.mark.parametrize("cut", [0, 1, 6])
@pytest.mark.slow
def test_a_search_that_was_cut_off_draws_what_an_uninterrupted_one_draws(tmp_path, cut):
    whole = search(config(), tmp_path / "whole.sqlite", Attempts())
    attempts = Attempts(cut)
    with pytest.raises(KeyboardInterrupt):
        search(config(), tmp_path / "cut.sqlite", attempts)
    assert search(config(), tmp_path / "cut.sqlite", attempts) == whole
    assert len(attempts.tried) == 10
    assert search(config(), tmp_path / "cut.sqlite", attempts) == whole  # nothing is left to do
    assert len(attempts.tried) == 10
    longer = search(config(n_trials=12), tmp_path / "cut.sqlite", attempts)
    assert longer[:10] == whole
    assert len(longer) == 12


def test_bad_trials_are_pruned_but_not_the_first_ones(tmp_path):
    def attempt(cfg, settings, pruner):
        for epoch in range(cfg.epochs):
            metrics = {"val/mAP": objective(settings) + 0.01 * epoch}
            pruner.on_train_epoch_end(
                SimpleNamespace(callback_metrics=metrics, current_epoch=epoch, max_epochs=cfg.epochs), None
            )
        return objective(settings)

    trials = search(config(n_trials=12), tmp_path / "a.sqlite", attempt)
    pruned = [place for place, trial in enumerate(trials) if trial["val_mAP"] is None]
    assert pruned
    assert min(pruned) >= 4
    assert all("alpha" in trial["settings"] for trial in trials)


def test_a_method_that_says_nothing_of_where_to_search(tmp_path):
    with pytest.raises(ConfigError, match="does not say where to search"):
        search(config(search={}), tmp_path / "a.sqlite", Attempts())
    with pytest.raises(ConfigError, match=r"search\.alpha should have low and high, or choices"):
        search(config(search={"alpha": SearchConfig(low=1.0)}), tmp_path / "a.sqlite", Attempts())


@pytest.mark.slow
def test_the_command_searches_and_writes_the_choice(pipeline, tmp_path):
    overrides = (
        "tune=true",
        "study=tune",
        "seed=100",
        f"tuned_dir={tmp_path}",
        "n_trials=3",
        "epochs=3",
        "method.trials=[{alpha: 0.1}]",
    )
    shutil.copytree(pipeline.outputs_dir / "tiny", tmp_path / "copy")
    pipeline.run("train_recommender", "seed=100")
    chosen = pipeline.classify("mtl_uniform", *overrides)
    entry = load_yaml(tmp_path / "tiny-test_resnet-mtl_uniform.yaml")["1"]
    assert len(entry["trials"]) == 3
    assert entry["settings"] == chosen["settings"]
    assert chosen["val_mAP"] == max(trial["val_mAP"] for trial in entry["trials"] if trial["val_mAP"] is not None)
    assert (pipeline.outputs_dir / "tiny" / "tuning" / "test_resnet-mtl_uniform.sqlite").is_file()
    runs = {
        run: (run / "metrics.json").stat().st_mtime_ns
        for run in pipeline.runs("mtl_uniform")
        if (run / "metrics.json").is_file()
    }
    assert pipeline.classify("mtl_uniform", *overrides) == chosen
    assert runs == {run: (run / "metrics.json").stat().st_mtime_ns for run in runs}
