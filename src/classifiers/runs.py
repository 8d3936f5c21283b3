"""The runs that a resolved config names, and those that it needs."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from src.artifacts import CONFIG_FILE, PREPARED
from src.classifiers.settings import (
    CF2LABEL,
    FROZEN,
    IMAGE_ONLY,
    LABEL_ISSUES,
    TUNABLE,
    base_name,
    ratio_key,
    requirements,
    resolve,
    tuned_entry,
)
from src.config.classifiers import MethodConfig
from src.config.overrides import command
from src.config.setting import identity, settings_of
from src.config.stages import MAIN_STUDY, ClassifierTrainingConfig, RecommenderTrainingConfig
from src.data.folds import FoldData, open_fold
from src.files import load_yaml, sha256_of_file
from src.recommenders.run import dataset_dir, recommender_run, require_vectors
from src.runs import Run


def runs_of_study(dataset: Path, study: str) -> list[tuple[Path, dict[str, Any]]]:
    """Fine-tuning runs of a study in a dataset's folder, in order of their names, each with its settings."""
    runs = []
    for path in sorted((dataset / "classifier").glob(f"*/*/{CONFIG_FILE}")):
        settings = load_yaml(path)
        if settings["study"] == study and settings["method"]["name"] != CF2LABEL:
            runs.append((path.parent, settings))
    return runs


def load_fold(cfg: ClassifierTrainingConfig) -> FoldData:
    """The config's dataset and fold."""
    return open_fold(dataset_dir(cfg) / PREPARED, cfg.fold, cfg.leaks)


def vectors_run(cfg: ClassifierTrainingConfig, fold: FoldData) -> Run:
    """The CF model's run whose vectors the config needs."""
    shared = {name: getattr(cfg, name) for name in settings_of(RecommenderTrainingConfig)}
    of_model = RecommenderTrainingConfig(**{**shared, "seed": cfg.recommender_seed})
    require_vectors(of_model)
    return recommender_run(of_model, fold.interactions_digest)


def classifier_run(cfg: ClassifierTrainingConfig, fold: FoldData) -> Run:
    """The run of a resolved config: CF2Label's, of a search for label issues, or of fine-tuning."""
    runs = {CF2LABEL: cf2label_run, LABEL_ISSUES: label_issues_run}
    return runs.get(cfg.method.name, _fine_tuning_run)(cfg, fold)


def cf2label_run(cfg: ClassifierTrainingConfig, fold: FoldData) -> Run:
    """The CF2Label run that the config needs."""
    given = kind_of_vectors(cfg.method)
    kind = [f"{name.removeprefix('method.')}-{value}" for name, value in given.items()]
    return Run(
        parent=dataset_dir(cfg) / "classifier" / CF2LABEL,
        name="-".join([cfg.recommender.name, *kind, _place(cfg)]),
        settings={
            "cf2label": identity(cfg.cf2label),
            "vectors": cfg.method.vectors,
            **({"prior_users": cfg.method.prior_users} if cfg.method.prior_users else {}),
            **{name: getattr(cfg, name) for name in ("seed", "label_ratio", "mask_seed")},
        },
        inputs={"items": fold.items_digest, **_vectors_inputs(cfg, fold)},
        command=_command(cfg, {"method": CF2LABEL, **given}),
    )


def kind_of_vectors(method: MethodConfig) -> dict[str, str]:
    """The overrides that make CF2Label learn from the vectors that a method learns from; none for plain CF vectors."""
    given = {} if method.vectors == "cf" else {"method.vectors": method.vectors}
    return given | ({"method.prior_users": f"{method.prior_users:g}"} if method.prior_users else {})


def label_issues_run(cfg: ClassifierTrainingConfig, fold: FoldData) -> Run:
    """A search for label issues: by CF2Label, and in the same way by frozen features."""
    run, planted = cf2label_run(cfg, fold), cfg.method.planted_errors
    return replace(
        run,
        parent=run.parent.with_name(LABEL_ISSUES),
        name="-".join([cfg.backbone.name, *([f"planted{planted:g}"] if planted else []), run.name]),
        settings={**run.settings, "planted_errors": planted},
        inputs={**run.inputs, "features": features_run(cfg, fold)},
        command=_command(cfg, {"method": LABEL_ISSUES}),
    )


def teacher_run(cfg: ClassifierTrainingConfig, fold: FoldData) -> Run:
    """The image_only run, otherwise of the same settings, that gives soft labels; itself tuned while ``cfg`` is."""
    unset: Any = dict.fromkeys(TUNABLE)
    teacher = replace(cfg, method=MethodConfig(name=IMAGE_ONLY), tune=False, **unset)
    given = {"method": IMAGE_ONLY}
    if "lr" not in tuned_entry(teacher, IMAGE_ONLY).get("settings", {}):
        teacher = replace(teacher, lr=cfg.lr)
        given |= {"lr": str(cfg.lr)}
    return replace(_fine_tuning_run(resolve(teacher), fold), command=_command(cfg, given))


def features_run(cfg: ClassifierTrainingConfig, fold: FoldData) -> Run:
    """The frozen features that the config needs; the first run that needs them makes them."""
    weights, sizes = Path(str(cfg.backbone.weights)), ("image_size", "eval_crop", "views")
    given = {"weights": sha256_of_file(weights)} if weights.is_file() else {}
    return Run(
        parent=dataset_dir(cfg) / "features",
        name=f"{cfg.backbone.name}-{cfg.image_size}px-views{cfg.views}",
        settings={"backbone": identity(cfg.backbone), **{name: getattr(cfg, name) for name in sizes}},
        inputs={"images": fold.images_digest, **given},
        command=_command(cfg, {"method": cfg.method.name}),
    )


def _fine_tuning_run(cfg: ClassifierTrainingConfig, fold: FoldData) -> Run:
    needs = requirements(cfg)
    inputs: dict[str, Run | str] = {"items": fold.items_digest}
    if cfg.features == FROZEN:
        inputs["features"] = features_run(cfg, fold)
    if needs.vectors:
        inputs |= _vectors_inputs(cfg, fold)
    if needs.cf2label:
        inputs[CF2LABEL] = cf2label_run(cfg, fold)
    if IMAGE_ONLY in needs.soft_labels:
        inputs["teacher"] = teacher_run(cfg, fold)
    weights = [f"alpha{cfg.alpha:g}"] if needs.vectors else []
    weights += [f"lambda{cfg.distill_lambda:g}"] if needs.soft_labels else []
    study = [] if cfg.study == MAIN_STUDY else [cfg.study]
    return Run(
        parent=dataset_dir(cfg) / "classifier" / cfg.method.name,
        name="-".join([*study, base_name(cfg), _place(cfg, *weights)]),
        settings=identity(cfg),
        inputs=inputs,
        command=_command(cfg, {"method": cfg.method.name}),
    )


def _vectors_inputs(cfg: ClassifierTrainingConfig, fold: FoldData) -> dict[str, Run | str]:
    """What the vectors that the config learns from are made of."""
    of_images = {"features": features_run(cfg, fold)} if cfg.method.prior_users else {}
    return {"vectors": vectors_run(cfg, fold), **of_images}


def _place(cfg: ClassifierTrainingConfig, *weights: str) -> str:
    """The part of a run's name with label ratio, loss weights, fold and seed."""
    return "-".join([f"ratio{ratio_key(cfg.label_ratio)}", *weights, f"fold{cfg.fold}", f"seed{cfg.seed}"])


def _command(cfg: ClassifierTrainingConfig, given: Mapping[str, str]) -> str:
    """The command of a run that this config needs, without the settings particular to this method."""
    place = {"label_ratio": ratio_key(cfg.label_ratio), "fold": cfg.fold, "seed": cfg.seed}
    own = {*TUNABLE, "tune", "n_trials", "method"} - set(given) | {"method"}
    return command("train_classifier", cfg.called_with, {**given, **place}, drop=tuple(own))
