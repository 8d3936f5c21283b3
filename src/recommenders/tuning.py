"""Settings of a CF model, chosen by the AUC on interactions that no fold reports."""

import logging
import time
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import optuna

from src.artifacts import PREPARED
from src.config.setting import check, default_of, flat, identity
from src.config.stages import RecommenderTrainingConfig
from src.data.folds import open_fold
from src.errors import ConfigError, DataError
from src.files import PROJECT, save_text, save_yaml, yaml_text
from src.randomness import derive_seed
from src.recommenders.auc import recommender_auc
from src.recommenders.interactions import build_user_item
from src.recommenders.run import dataset_dir
from src.runs import content_hash
from src.search import run_trials

logger = logging.getLogger(__name__)


def tune_recommender(cfg: RecommenderTrainingConfig) -> dict[str, Any]:
    """Try the model's ``trials``, then draw from its ``search``, ``cfg.n_trials`` in all, and write the best settings.

    Each trial is fitted once, on the interactions of the fold's train items that the fold neither reports nor chooses
    on. The study lies in ``outputs/<dataset>/tuning/recommender-<name>.sqlite``, and an interrupted one continues;
    all trials are listed beside it. The choice becomes ``<tuned_dir>/<dataset>-<name>.yaml``, which later runs take; it
    includes the settings that were not searched, where they are not the schema's defaults.

    Raises:
        ConfigError: The model has nothing to search, or a trial sets what is not searched.
        DataError: The fold's train items have no interactions.
    """
    check(cfg)
    model, name = cfg.recommender, cfg.recommender.name
    schema = {entry.name: default_of(entry) for entry in fields(model)}
    defaults = {setting: schema[setting] for setting in model.search if setting in schema}
    unknown = {setting for trial in model.trials for setting in trial} - set(defaults)
    if not defaults or unknown or set(model.search) - set(defaults):
        raise ConfigError(
            f"Tuning recommender={name} needs a range of each setting in recommender.search, and its trials to set "
            f"these alone; the ranges are of {sorted(model.search) or 'none'}, and the trials also set "
            f"{sorted(unknown) or 'none'}."
        )
    data = open_fold(dataset_dir(cfg) / PREPARED, cfg.fold, cfg.leaks)
    train, chosen, _ = build_user_item(data.train_interactions, data.items["item_id"].to_numpy()).split(
        cfg.fold, model.auc_holdout
    )

    def attempt(settings: dict[str, Any], trial: optuna.Trial) -> float:
        started = time.monotonic()
        tried = replace(model, **settings).build(cfg.trainer)
        tried.fit(train, derive_seed(cfg.seed, "recommender tuned"))
        try:
            auc = recommender_auc(tried.user_scores, train, chosen).strict
        except DataError as error:  # the scores are not finite
            logger.warning("%s: %s", settings, error)
            auc = 0.0
        trial.set_user_attr("seconds", round(time.monotonic() - started, 1))
        logger.info("%s: AUC %.4f", settings, auc)
        return auc

    path = dataset_dir(cfg) / "tuning" / f"recommender-{name}.sqlite"
    fixed = {key: value for key, value in identity(model).items() if key not in model.search}
    study = content_hash([flat(fixed), data.interactions_digest, cfg.seed, asdict(model)["search"]])[:8]
    listed = [{**defaults, **trial} for trial in model.trials]
    trials = run_trials(path, study, listed, model.search, int(cfg.n_trials or 0), cfg.seed, attempt)
    save_yaml(path.with_suffix(".yaml"), [{"AUC": t.value, **t.user_attrs, "settings": t.params} for t in trials])
    best = max(trials, key=lambda trial: float(trial.value or 0.0))
    target = PROJECT / Path(cfg.tuned_dir) / f"{cfg.dataset.name}-{name}.yaml"
    note = f"# AUC {best.value:.4f} on interactions that no fold reports, the best of {len(trials)} trials\n"
    chosen = {key: value for key, value in fixed.items() if value != schema[key]} | best.params
    save_text(target, f"# @package recommender\n{note}{yaml_text(chosen)}")
    logger.info("Chosen: %s (in %s)", chosen, target)
    return {"settings": chosen, "tuning_auc": best.value}
