"""``method=label_issues``: train items whose labels neither image nor interactions support, most suspicious first."""

import logging
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from src.artifacts import ISSUES_FILE
from src.cf2label.out_of_fold import out_of_fold_probabilities
from src.classifiers.label_issues.scores import evidence, exchange_label_sets, found, probability_of_error, stack
from src.classifiers.targets.vectors import item_features, train_vectors
from src.config.cf2label import CF2LabelConfig
from src.config.stages import ClassifierTrainingConfig
from src.data.folds import TRAIN, FoldData, label_mask
from src.errors import DataError
from src.files import save_text
from src.randomness import derive_seed
from src.runs import Run

logger = logging.getLogger(__name__)

IMAGE_HEAD: dict[str, Any] = {"lr": 0.001, "weight_decay": 3.0, "max_steps": 300}
"""In place of CF2Label's: features have twenty times the dimensions of CF vectors, and are overfitted sooner."""


class Judged(NamedTuple):
    """Labelled train items, and what each source predicts of their labels without having seen them.

    ``n_users`` [n] is 0 for an item without CF vector. ``given`` [n, N] are its labels, multi-hot, with planted errors,
    which the items in ``wrong`` [n] have. ``probs`` [n, N] are of image, cf (the prevalence without vector) and both.
    """

    items: pd.DataFrame
    n_users: np.ndarray
    given: np.ndarray
    wrong: np.ndarray
    probs: dict[str, np.ndarray]


def find_label_issues(cfg: ClassifierTrainingConfig, fold: FoldData, run: Run) -> dict[str, Any]:
    """Rank the labelled train items by the evidence against their labels, into ``label_issues.csv``.

    With ``method.planted_errors`` the metrics say how well the planted errors are found.

    Raises:
        ArtifactError: The CF vectors are missing or do not fit.
        ConfigError: The dataset has numbers in place of labels.
        DataError: No train item has a label, or too few have for the folds.
    """
    items, n_users, given, wrong, probs = judged = judge_labels(cfg, fold)
    scores = {source: evidence(values, given) for source, values in probs.items()}
    names, prevalence = np.array(fold.label_names), given.mean(axis=0)
    against = np.stack([scores["image"], scores["cf"]]) > 0
    improbable = (given > 0) & (probs["image"] < prevalence) & (probs["cf"] < prevalence)
    table = pd.DataFrame({
        "item_id": items["item_id"],
        "images": items["image_paths"].map("|".join),
        "labels": _join(names, given > 0),
        "probability_of_error": probability_of_error(scores["both"]),
        "source": np.select([against.all(axis=0), *against], ["both", "image", "cf"], ""),
        "improbable_labels": _join(names, improbable),
        "missing_labels": _join(names, (given == 0) & (probs["both"] > 0.5)),
        "n_users": n_users,
        **{f"score_{source}": values for source, values in scores.items()},
        **({"planted": wrong} if cfg.method.planted_errors else {}),
    })  # fmt: skip
    table = table.sort_values("score_both", ascending=False, kind="stable")
    save_text(run.directory / ISSUES_FILE, table.to_csv(index=False, float_format="%.4f"))
    n_suspects = int((table["probability_of_error"] > 0.5).sum())
    logger.info("%d of %d items probably have wrong labels: %s", n_suspects, len(items), run.directory / ISSUES_FILE)
    counts = {"n_items": len(items), "n_without_vector": int((n_users == 0).sum()), "n_suspects": n_suspects}
    return {**counts, **(measure(judged) if wrong.any() else {})}


def judge_labels(cfg: ClassifierTrainingConfig, fold: FoldData) -> Judged:
    """Predict the labels of the labelled train items by models that were trained on other items, and stack them.

    CF2Label predicts from the CF vector, the same model from frozen features. Labels of validation and test items are
    not used. Raises as ``find_label_issues`` does.
    """
    fold.require_classes("method=label_issues")
    items, vectors = fold.split(TRAIN), train_vectors(cfg, fold)
    kept = items["labels"].notna().to_numpy() & label_mask(items["item_id"].to_numpy(), cfg.label_ratio, cfg.mask_seed)
    if not kept.any():
        raise DataError(f"No train item of fold {cfg.fold} has a label at label ratio {cfg.label_ratio:g}; raise it.")
    items, present, n_users = items[kept].reset_index(drop=True), vectors.present[kept], vectors.n_users[kept]
    given, wrong = exchange_label_sets(fold.targets(items), cfg.method.planted_errors, _rng(cfg, "planted"))
    groups, head = items["image_group"].to_numpy(), replace(cfg.cf2label, **IMAGE_HEAD)

    def predict(inputs: np.ndarray, rows: np.ndarray, settings: CF2LabelConfig) -> np.ndarray:
        every = np.ones(int(rows.sum()), dtype=bool)
        return out_of_fold_probabilities(inputs, given[rows], every, groups[rows], settings, cfg.seed).probs

    image = predict(item_features(cfg, fold, items), np.ones(len(items), dtype=bool), head)
    cf = np.tile(given.mean(axis=0), (len(items), 1))
    cf[present] = predict(vectors.vectors[kept][present], present, cfg.cf2label)
    probs = {"image": image, "cf": cf, "both": stack(image, cf, n_users, given, _rng(cfg, "stack"))}
    return Judged(items, n_users, given, wrong, probs)


def measure(judged: Judged) -> dict[str, float]:
    """AUROC of each source on the planted errors, and precision among as many items as there are errors."""
    results: dict[str, float] = {"n_planted": int(judged.wrong.sum())}
    for source, probs in judged.probs.items():
        auroc, precision = found(evidence(probs, judged.given), judged.wrong)
        results |= {f"auroc_{source}": auroc, f"precision_{source}": precision}
    return results


def _rng(cfg: ClassifierTrainingConfig, name: str) -> np.random.Generator:
    return np.random.default_rng(derive_seed(cfg.seed, "label issues", name))


def _join(names: np.ndarray, chosen: np.ndarray) -> list[str]:
    """The names [N] chosen for each item, [n, N] bool, as one cell each."""
    return ["|".join(names[row]) for row in chosen]
