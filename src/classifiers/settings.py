"""From a composed config to runs: tuned settings, and the runs that the config names and needs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from src.artifacts import CONFIG_FILE, PREPARED
from src.config.classifiers import MethodConfig
from src.config.overrides import command
from src.config.setting import check, flat, identity, settings_of
from src.config.stages import MAIN_STUDY, ClassifierTrainingConfig, RecommenderTrainingConfig
from src.data.folds import FoldData, open_fold
from src.errors import ConfigError
from src.files import PROJECT, load_yaml, sha256_of_file
from src.recommenders.run import dataset_dir, recommender_run, require_vectors
from src.runs import Run

CF2LABEL, LABEL_ISSUES, IMAGE_ONLY, FROZEN = "cf2label", "label_issues", "image_only", "frozen"
IMAGE_PRIOR = "image_prior"
LEARNED_VECTORS = ("cf", IMAGE_PRIOR)
"""The choices of ``method.vectors`` that are no controls."""
SOFT_LABELS = {CF2LABEL: (CF2LABEL,), IMAGE_ONLY: (IMAGE_ONLY,), "both": (CF2LABEL, IMAGE_ONLY)}
"""The sources of probabilities for each choice of ``method.soft_labels``."""

TUNABLE = tuple(name for name, declared in settings_of(ClassifierTrainingConfig).items() if declared.tunable)


@dataclass(frozen=True)
class Requirements:
    """What a method needs besides labelled images."""

    vectors: bool  # the auxiliary loss has weight in some phase
    soft_labels: tuple[str, ...]  # of CF2Label, image_only, both, or none
    confidence: bool  # loss-based weights

    @property
    def cf2label(self) -> bool:
        """Whether CF2Label must have run."""
        return self.confidence or CF2LABEL in self.soft_labels


def resolve(cfg: ClassifierTrainingConfig) -> ClassifierTrainingConfig:
    """Fill each tunable setting that is null: with the value tuned for this label ratio, else with its default.

    Epochs that the command gives come before tuned steps.

    Raises:
        ConfigError: Settings contradict each other, or a tuned setting is not tunable.
    """
    tuned = tuned_by(cfg)[1].get("settings", {})
    check_tunable("The tuned config", tuned)
    defaults = {
        "alpha": cfg.method.alpha,
        "distill_lambda": cfg.method.distill_lambda,
        "lr": cfg.optimizer.lr,
        "standardize_vectors": True,
        "hidden_size": 512 if cfg.features == FROZEN else 0,
        "dropout": 0.5 if cfg.features == FROZEN else 0.0,
        "steps": None,
    }
    if any(override.startswith("epochs=") for override in cfg.called_with):
        tuned = {name: value for name, value in tuned.items() if name != "steps"}
    resolved = replace(cfg, **{name: tuned.get(name, defaults[name]) for name in TUNABLE if getattr(cfg, name) is None})
    check(resolved)
    if cfg.leaks and cfg.study == MAIN_STUDY:
        raise ConfigError("Runs with leaks need a study of their own, so that no valid table shows them: study=...")
    if not cfg.method.phases or not cfg.method.phases[-1].selects:
        raise ConfigError("method.phases should hold at least one phase, and the last one should select the epoch.")
    return resolved


def tuned_by(cfg: ClassifierTrainingConfig) -> tuple[str, Mapping[str, Any]]:
    """The method whose tuned settings a config takes, its own or ``tuned_as``, and its entry; empty without one."""
    for method in filter(None, (cfg.method.name, cfg.method.tuned_as)):
        if entry := tuned_entry(cfg, method):
            return method, entry
    return cfg.method.name, {}


def requirements(cfg: ClassifierTrainingConfig) -> Requirements:
    """What a resolved config needs; an auxiliary loss of weight 0 needs nothing."""
    vectors = bool(cfg.alpha) and any(phase.auxiliary > 0 for phase in cfg.method.phases)
    return Requirements(
        vectors=vectors,
        soft_labels=SOFT_LABELS[cfg.method.soft_labels] if cfg.method.soft_labels else (),
        confidence=vectors and cfg.method.confidence.scheme == "loss",
    )


def tuned_entry(cfg: ClassifierTrainingConfig, method: str) -> Mapping[str, Any]:
    """A method's tuned settings at the nearest label ratio (by quotient); empty if there are none or not wanted."""
    if not cfg.use_tuned or cfg.tune or not tuned_path(cfg, method).is_file():
        return {}
    entries = load_yaml(tuned_path(cfg, method))
    nearest = min(entries, key=lambda ratio: abs(math.log(max(float(ratio), 1e-6) / max(cfg.label_ratio, 1e-6))))
    return entries[nearest]


def tuned_with(cfg: ClassifierTrainingConfig) -> dict[str, Any]:
    """The settings, by dotted name, that are fixed while tuning."""
    return flat({name: value for name, value in identity(cfg).items() if name not in (*TUNABLE, "method", "study")})


def check_tunable(what: str, names: Any) -> None:
    """Raise ``ConfigError`` where a setting among ``names`` is not tunable."""
    unknown = set(names) - set(TUNABLE)
    if unknown:
        raise ConfigError(f"{what} sets {sorted(unknown)}; it may set {', '.join(TUNABLE)}.")


def ratio_key(label_ratio: float) -> str:
    """A label ratio as written in file names and tuned configs."""
    return f"{label_ratio:g}"


def tuned_path(cfg: ClassifierTrainingConfig, method: str) -> Path:
    """Where tuning writes a method's settings."""
    return PROJECT / cfg.tuned_dir / f"{cfg.dataset.name}-{_base_name(cfg)}-{method}.yaml"


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
    vectors = cfg.method.vectors
    given = {} if vectors == "cf" else {"method.vectors": vectors}
    return Run(
        parent=dataset_dir(cfg) / "classifier" / CF2LABEL,
        name="-".join([cfg.recommender.name, *given.values(), _place(cfg)]),
        settings={
            "cf2label": identity(cfg.cf2label),
            "vectors": vectors,
            **({"prior_users": cfg.method.prior_users} if vectors == IMAGE_PRIOR else {}),
            **{name: getattr(cfg, name) for name in ("seed", "label_ratio", "mask_seed")},
        },
        inputs={"items": fold.items_digest, **_vectors_inputs(cfg, fold)},
        command=_command(cfg, {"method": CF2LABEL, **given}),
    )


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
        name="-".join([*study, _base_name(cfg), _place(cfg, *weights)]),
        settings=identity(cfg),
        inputs=inputs,
        command=_command(cfg, {"method": cfg.method.name}),
    )


def _vectors_inputs(cfg: ClassifierTrainingConfig, fold: FoldData) -> dict[str, Run | str]:
    """What the vectors that the config learns from are made of."""
    of_images = {"features": features_run(cfg, fold)} if cfg.method.vectors == IMAGE_PRIOR else {}
    return {"vectors": vectors_run(cfg, fold), **of_images}


def _base_name(cfg: ClassifierTrainingConfig) -> str:
    """The backbone, and whether its features are frozen."""
    return f"{cfg.backbone.name}-{FROZEN}" if cfg.features == FROZEN else cfg.backbone.name


def _place(cfg: ClassifierTrainingConfig, *weights: str) -> str:
    """The part of a run's name with label ratio, loss weights, fold and seed."""
    return "-".join([f"ratio{ratio_key(cfg.label_ratio)}", *weights, f"fold{cfg.fold}", f"seed{cfg.seed}"])


def _command(cfg: ClassifierTrainingConfig, given: Mapping[str, str]) -> str:
    """The command of a run that this config needs, without the settings particular to this method."""
    place = {"label_ratio": ratio_key(cfg.label_ratio), "fold": cfg.fold, "seed": cfg.seed}
    own = {*TUNABLE, "tune", "n_trials", "method"} - set(given) | {"method"}
    return command("train_classifier", cfg.called_with, {**given, **place}, drop=tuple(own))
