"""Labels of items that have an image and interactions: the image's scores and CF2Label's together."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from src.artifacts import PREDICTIONS_FILE, RESULTS_FILE, Predictions, load_yaml, save_json, save_yaml
from src.classifiers.inference import score_items
from src.classifiers.predict import predict_testset
from src.classifiers.soft_labels import log_odds
from src.config import CF2LabelConfig, PredictConfig
from src.data.folds import HELD_OUT_INTERACTIONS, TEST, TRAIN, VAL, label_mask, open_fold
from src.data.store import ImageStore
from src.deployment.calibration import fit_logistic
from src.deployment.finished_run import FinishedRun
from src.recommenders.cf2label import out_of_fold_probabilities
from src.recommenders.locate import RecommenderRun

logger = logging.getLogger(__name__)

CF_ONLY, WITH_CF = "cf_only", "+cf"
DECIDE_CF2LABEL = ("cf2label", "leaks", "fold", "seed", "label_ratio", "mask_seed")
"""Settings of a run that decide what CF2Label beside it learns."""


@dataclass(frozen=True)
class CFScores:
    """CF2Label's probabilities of items whose labels it did not see: ``item_id`` [k] and ``probs`` [k, N].

    ``prevalence`` [N] stands in for items without vector: the labels' frequencies in training.
    """

    item_id: np.ndarray
    probs: np.ndarray
    prevalence: np.ndarray

    def of(self, item_id: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities of items, [n, N], and whether each has a vector, [n] bool."""
        row = pd.Index(self.item_id).get_indexer(item_id)
        return np.where((row >= 0)[:, None], self.probs[row], self.prevalence), row >= 0


def predict_fusion(cfg: PredictConfig) -> dict[str, Any]:
    """Predict the test items of each finished run of a study from image and interactions together.

    The CF model must have seen the held-out items' interactions, which no training run may. CF2Label learns from the
    train items' labels, and how much each source counts is fitted on the validation items; test labels play no part.
    The study ``<study>_fusion`` then holds the runs as they are, each with ``+cf``, and CF2Label alone.

    Returns:
        The number of runs, and the mean weights of the image's and of CF2Label's log odds.

    Raises:
        ArtifactError: There is no finished run, or no such CF model; the message is the command that makes it.
    """
    predict_testset(cfg)
    root = Path(cfg.outputs_dir) / cfg.dataset.name
    path = root / RESULTS_FILE
    everything = load_yaml(path)["runs"]
    study, entries, weights = f"{cfg.study}_fusion", [], []
    known: dict[Any, CFScores] = {}
    for entry in everything:
        if entry["study"] != cfg.study:
            continue
        run = FinishedRun.open(root / entry["run"])
        key = str([run.config[name] for name in DECIDE_CF2LABEL])
        scores = known[key] = known.get(key) or _cf_scores(cfg, run)
        image, fused, slopes = _fuse(run, scores, cfg.batch_size)
        weights.append(slopes)
        entries.append({**entry, "study": study})
        for name, values in ((f"{entry['method']}{WITH_CF}", fused), (CF_ONLY, scores.of(image.item_id)[0])):
            directory = root / "fusion" / name / f"{cfg.recommender.name}-{run.directory.name}"
            Predictions(**{**vars(image), "scores": values.astype(np.float32)}).save(directory / PREDICTIONS_FILE)
            save_json(directory / "weights.json", dict(zip(("image", "cf"), slopes.tolist(), strict=True)))
            row = {"run": directory.relative_to(root).as_posix(), "method": name, "study": study}
            entries.append({**entry, **row, "recommender": cfg.recommender.name})
    others = [entry for entry in everything if entry["study"] != study]
    save_yaml(path, {"runs": sorted([*others, *_without_repeats(entries)], key=lambda entry: str(entry["run"]))})
    image_weight, cf_weight = np.mean(weights, axis=0).tolist()
    logger.info("Compare them with: python main_evaluate_methods.py dataset=%s study=%s", cfg.dataset.name, study)
    return {"n_runs": len(weights), "image_weight": image_weight, "cf_weight": cf_weight, "study": study}


def _cf_scores(cfg: PredictConfig, run: FinishedRun) -> CFScores:
    """CF2Label's probabilities of held-out items that have a CF vector, from the train labels that ``run`` saw."""
    fold, settings, leaks = run.fold, run.config, [HELD_OUT_INTERACTIONS]
    digest = open_fold(run.prepared_dir, settings["fold"], leaks).interactions_digest
    dataset_dir = run.prepared_dir.parent
    located = RecommenderRun(dataset_dir, cfg.recommender, settings["fold"], cfg.recommender_seed, digest, leaks)
    stored = located.load_vectors()
    row = pd.Index(stored.item_id).get_indexer(fold.items["item_id"])
    used = (row >= 0) & fold.items["split"].isin([TRAIN, VAL, TEST]).to_numpy()
    items = fold.items[used].reset_index(drop=True)
    in_train = (items["split"] == TRAIN).to_numpy()
    item_id = items["item_id"].to_numpy().astype(np.str_)
    labelled = (
        in_train
        & items["labels"].notna().to_numpy()
        & label_mask(item_id, settings["label_ratio"], settings["mask_seed"])
    )
    targets = fold.targets(items) * labelled[:, None]
    groups = items["image_group"].to_numpy()
    vectors, cf2label = stored.vectors[row[used]], CF2LabelConfig(**settings["cf2label"])
    probs = out_of_fold_probabilities(vectors, targets, labelled, groups, cf2label, settings["seed"]).probs
    return CFScores(item_id[~in_train], probs[~in_train], targets[labelled].mean(axis=0))


def _fuse(run: FinishedRun, scores: CFScores, batch_size: int) -> tuple[Predictions, np.ndarray, np.ndarray]:
    """A run's test predictions as they are, fused scores [n, N] of the same items, and the two weights."""
    fold, image = run.fold, Predictions.load(run.directory / PREDICTIONS_FILE)
    val = fold.split(VAL)
    val = val[val["labels"].notna()]
    item_id = val["item_id"].to_numpy()
    store = ImageStore.open(fold.images_dir)
    val_logits = log_odds(score_items(run.directory, run.definition, fold, store, item_id, batch_size))
    targets = fold.targets(val)
    cf_probs, has_vector = scores.of(item_id)
    both = np.stack([val_logits, log_odds(cf_probs)])
    slopes, bias = fit_logistic(both[:, has_vector], targets[has_vector])
    alone, alone_bias = fit_logistic(val_logits[None], targets)
    test_logits = log_odds(image.scores)
    cf_probs, has_vector = scores.of(image.item_id)
    fused = slopes[0] * test_logits + slopes[1] * log_odds(cf_probs) + bias
    return image, expit(np.where(has_vector[:, None], fused, alone[0] * test_logits + alone_bias)), slopes


def _without_repeats(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One run of CF2Label alone for each setting, fold and seed, though every method brings one."""
    kept: dict[Any, Mapping[str, Any]] = {}
    for entry in entries:
        key = [entry[name] for name in ("method", "backbone", "image_size", "label_ratio", "fold", "seed")]
        kept.setdefault(tuple(key) if entry["method"] == CF_ONLY else entry["run"], entry)
    return [dict(entry) for entry in kept.values()]
