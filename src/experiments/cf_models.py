"""The CF models of an experiment, compared: Tables 3 and 4."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from src.artifacts import EVALUATION_DIR, METRICS_FILE, PRECHECK_FILE, load_json
from src.config import RecommenderTrainingConfig
from src.evaluation.cf_tables import save_cf_tables
from src.experiments.survey import State, Surveyed


def compare_cf_models(surveyed: Sequence[Surveyed], models: Sequence[str]) -> str:
    """Write and return the tables of the finished fits of ``models``, in their order.

    CF2Label's table also has the mAP of constant scores (popularity) and of vectors permuted across items (shuffled).
    """
    auc: dict[str, dict[int, list[float]]] = {model: defaultdict(list) for model in models}
    cf2label: dict[str, dict[int, list[float]]] = {
        name: defaultdict(list) for name in ("popularity", "shuffled", *models)
    }
    dataset = None
    for entry in surveyed:
        cfg = entry.cell.config
        if not isinstance(cfg, RecommenderTrainingConfig) or entry.state != State.FINISHED:
            continue
        model, directory = cfg.recommender.name, entry.directories[0]
        if model not in auc:
            continue
        dataset, outputs_dir = cfg.dataset, cfg.outputs_dir
        auc[model][cfg.fold].append(load_json(directory / METRICS_FILE)["auc_strict"])
        path = directory / PRECHECK_FILE
        known = load_json(path)["result"] if path.is_file() else {}
        for name, key in ((model, "cf2label_mAP"), ("shuffled", "shuffled_mAP"), ("popularity", "popularity_mAP")):
            if key in known:
                cf2label[name][cfg.fold].append(known[key])
    if dataset is None:
        return "No CF model has finished."
    return save_cf_tables(
        Path(outputs_dir) / dataset.name / EVALUATION_DIR,
        dataset.name,
        {name: values for name, values in auc.items() if values},
        {name: values for name, values in cf2label.items() if values},
        dataset.paper_results,
    )
