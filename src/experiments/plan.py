"""From an experiment to its steps: its own cells, and before them the runs that their methods need."""

from typing import Any

from src.classifiers.runs import kind_of_vectors
from src.classifiers.settings import CF2LABEL, IMAGE_ONLY, requirements, resolve
from src.config.stages import HELD_OUT_INTERACTIONS, ExperimentConfig
from src.experiments.overrides import SortedOverrides
from src.experiments.steps import Step, compose_once


def build_steps(cfg: ExperimentConfig, overrides: SortedOverrides) -> list[Step]:
    """The steps in the order in which they can run.

    CF models come first: those to compare, and those whose vectors a method needs, one fit a fold for all seeds. Then
    CF2Label, for each kind of vectors that a method learns from; then ``image_only``, which gives others soft labels;
    then the other methods.
    """
    shared = tuple(overrides.stages["train_classifier"])
    runs: dict[str, list[Any]] = {"fold": cfg.folds, "seed": cfg.seeds}
    by_ratio = {"label_ratio": cfg.label_ratios, **runs}

    def classify(title: str, methods: list[str], *more: str, **values: list[float]) -> Step:
        return Step(title, "train_classifier", (*shared, *more), "method", tuple(methods), {**by_ratio, **values})

    composed = {name: resolve(compose_once("train_classifier", (*shared, f"method={name}"))) for name in cfg.methods}
    needs = {name: requirements(config) for name, config in composed.items()}
    cf2label_for = {
        tuple(f"{setting}={value}" for setting, value in kind_of_vectors(composed[name].method).items())
        for name in cfg.methods
        if needs[name].cf2label
    }
    teaches = any(IMAGE_ONLY in need.soft_labels for need in needs.values()) and (
        cfg.tune or IMAGE_ONLY not in cfg.methods
    )
    vectors_from = [config.recommender.name for name, config in composed.items() if needs[name].recommender]
    shared_fit = {**runs, "seed": sorted({config.recommender_seed for config in composed.values()})}
    with_alpha = [name for name in cfg.methods if needs[name].vectors and cfg.alphas]
    others = [name for name in cfg.methods if name not in with_alpha and name != IMAGE_ONLY]
    own = tuple(given for given in overrides.stages["train_recommender"] if not given.startswith("recommender="))
    compared = {**runs, "leaks": [[], [HELD_OUT_INTERACTIONS]]} if cfg.all_interactions else runs
    tune = (f"tune={cfg.tune}",)
    steps = [
        Step("CF models to compare", "train_recommender", own + tune, "recommender", tuple(cfg.recommenders), compared),
        Step("CF models", "train_recommender", own, "recommender", tuple(dict.fromkeys(vectors_from)), shared_fit),
        *(
            classify(
                ", ".join(["CF2Label", *(setting.removeprefix("method.") for setting in kind)]),
                [CF2LABEL],
                *(*kind, "tune=False"),  # it has nothing to tune
            )
            for kind in sorted(cf2label_for)
        ),
        classify(IMAGE_ONLY, [IMAGE_ONLY] if IMAGE_ONLY in cfg.methods else []),
        classify("image_only, for soft labels", [IMAGE_ONLY] if teaches else [], "tune=False"),
        classify("methods", others),
        classify("weights of the CF loss", with_alpha, alpha=cfg.alphas),
    ]
    return [step for step in steps if step.choices]
