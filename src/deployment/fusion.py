"""Labels of items that have an image and interactions: the image's scores and CF2Label's together."""

import logging
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit

from src.artifacts import PREDICTIONS_FILE, RESULTS_FILE, VECTORS_FILE, ItemVectors, Predictions, replace_records
from src.cf2label.out_of_fold import out_of_fold_probabilities
from src.classifiers.finished_run import FinishedRun
from src.classifiers.predict import predict_testset
from src.classifiers.targets.soft_labels import log_odds
from src.config.cf2label import CF2LabelConfig
from src.config.stages import HELD_OUT_INTERACTIONS, PredictConfig, RecommenderTrainingConfig
from src.data.folds import TEST, TRAIN, VAL, label_mask, open_fold
from src.deployment.calibration import fit_logistic, score_validation
from src.evaluation.inputs.runs_table import load_run_records
from src.files import save_json
from src.recommenders.run import dataset_dir, recommender_run, require_vectors

logger = logging.getLogger(__name__)

CF_ONLY, WITH_CF = "cf_only", "+cf"


class CFScores(NamedTuple):
    """CF2Label's probabilities of items whose labels it did not see, by item; ``prevalence`` [N] is training's."""

    probs: pd.DataFrame
    prevalence: np.ndarray

    def of(self, item_id: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities of items, [n, N], prevalence where one has no vector, and whether each has one, [n] bool."""
        known = np.isin(item_id, self.probs.index)
        return np.where(known[:, None], self.probs.reindex(item_id), self.prevalence), known


def predict_fusion(cfg: PredictConfig) -> dict[str, Any]:
    """Predict the test items of each finished run of a study from image and interactions together.

    The CF model must have seen the held-out items' interactions, which no training run may. CF2Label learns from the
    train items' labels. The weights of both sources are fitted on the validation items; test labels are not used.
    The study ``<study>_fusion`` then has the runs as they are, each with ``+cf``, and CF2Label alone.

    Raises:
        ArtifactError: There is no finished run, or no such CF model; the message is the command that makes it.
    """
    predict_testset(cfg)
    root = dataset_dir(cfg)
    study, records, weights = f"{cfg.study}_fusion", {}, []
    for record in load_run_records(root, cfg.study):
        run = FinishedRun.open(root / record.run)
        run.fold.require_classes("fusion=true")
        scores = _cf_scores(cfg, run)
        image, fused, slopes = _fuse(run, scores, cfg.batch_size)
        weights.append(slopes)
        records[record.run] = replace(record, study=study)
        for name, values in ((f"{record.method}{WITH_CF}", fused), (CF_ONLY, scores.of(image.item_id)[0])):
            directory = root / "fusion" / name / f"{cfg.recommender.name}-{run.directory.name}"
            Predictions(**{**vars(image), "scores": values.astype(np.float32)}).save(directory / PREDICTIONS_FILE)
            save_json(directory / "weights.json", dict(zip(("image", "cf"), slopes.tolist(), strict=True)))
            entry = {"run": directory.relative_to(root).as_posix(), "method": name, "recommender": cfg.recommender.name}
            # CF2Label alone is one run for each setting, fold and seed, whatever the number of methods.
            setting = record.backbone, record.image_size, record.label_ratio, record.fold, record.seed
            key = str(setting) if name == CF_ONLY else entry["run"]
            records.setdefault(key, replace(record, study=study, **entry))
    replace_records(root / RESULTS_FILE, study, list(records.values()))
    image_weight, cf_weight = np.mean(weights, axis=0).tolist()
    logger.info("Compare them with: python main_evaluate_methods.py dataset=%s study=%s", cfg.dataset.name, study)
    return {"n_runs": len(weights), "image_weight": image_weight, "cf_weight": cf_weight, "study": study}


def _cf_scores(cfg: PredictConfig, run: FinishedRun) -> CFScores:
    """CF2Label's probabilities of held-out items that have a CF vector, from the train labels that ``run`` saw."""
    fold, settings, leaks = run.fold, run.config, [HELD_OUT_INTERACTIONS]
    shared = {name: getattr(cfg, name) for name in ("dataset", "outputs_dir", "called_with", "recommender")}
    of_model = RecommenderTrainingConfig(**shared, fold=settings["fold"], seed=cfg.recommender_seed, leaks=leaks)
    require_vectors(of_model)
    digest = open_fold(run.prepared_dir, settings["fold"], leaks).interactions_digest
    stored = ItemVectors.load(recommender_run(of_model, digest).require() / VECTORS_FILE)
    row = pd.Index(stored.item_id).get_indexer(fold.items["item_id"])
    used = (row >= 0) & fold.items["split"].isin([TRAIN, VAL, TEST]).to_numpy()
    items = fold.items[used].reset_index(drop=True)
    in_train = (items["split"] == TRAIN).to_numpy()
    item_id = items["item_id"].to_numpy().astype(np.str_)
    labelled = in_train & items["labels"].notna().to_numpy()
    labelled &= label_mask(item_id, settings["label_ratio"], settings["mask_seed"])
    targets = fold.targets(items) * labelled[:, None]
    groups = items["image_group"].to_numpy()
    vectors, cf2label = stored.vectors[row[used]], CF2LabelConfig(**settings["cf2label"])
    probs = out_of_fold_probabilities(vectors, targets, labelled, groups, cf2label, settings["seed"]).probs
    return CFScores(pd.DataFrame(probs, item_id)[~in_train], targets[labelled].mean(axis=0))


def _fuse(run: FinishedRun, scores: CFScores, batch_size: int) -> tuple[Predictions, np.ndarray, np.ndarray]:
    """A run's test predictions as they are, fused scores [n, N] of the same items, and the two weights."""
    image = Predictions.load(run.directory / PREDICTIONS_FILE)
    item_id, val_scores, targets = score_validation(run, batch_size)
    val_logits = log_odds(val_scores)
    cf_probs, has_vector = scores.of(item_id)
    both = np.stack([val_logits, log_odds(cf_probs)])
    slopes, bias = fit_logistic(both[:, has_vector], targets[has_vector])
    alone, alone_bias = fit_logistic(val_logits[None], targets)
    test_logits = log_odds(image.scores)
    cf_probs, has_vector = scores.of(image.item_id)
    fused = slopes[0] * test_logits + slopes[1] * log_odds(cf_probs) + bias
    return image, expit(np.where(has_vector[:, None], fused, alone[0] * test_logits + alone_bias)), slopes
