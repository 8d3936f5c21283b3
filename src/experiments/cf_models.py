"""The CF models of an experiment, compared: Tables 3 and 4."""

from collections import defaultdict
from collections.abc import Sequence

from src.artifacts import EVALUATION_DIR, METRICS_FILE, PRECHECK_FILE
from src.config.stages import RecommenderTrainingConfig
from src.evaluation.tables.cf_models import save_cf_tables
from src.experiments.survey import State, Surveyed
from src.files import load_json
from src.recommenders.run import dataset_dir


def compare_cf_models(surveyed: Sequence[Surveyed], models: Sequence[str]) -> str:
    """Write and return the tables of the finished fits of ``models``, in their order.

    CF2Label's table also has the mAP of constant scores (popularity) and of vectors permuted across items (shuffled).
    """
    values: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    cfg = None
    for entry in surveyed:
        found, directory = entry.cell.config, entry.runs[0].directory
        if not isinstance(found, RecommenderTrainingConfig) or entry.state != State.FINISHED:
            continue
        model = found.recommender.name
        if model not in models:
            continue
        cfg = found
        values["auc", model][cfg.fold].append(load_json(directory / METRICS_FILE)["auc_strict"])
        path = directory / PRECHECK_FILE
        known = load_json(path)["result"] if path.is_file() else {}
        for name, key in ((model, "cf2label_mAP"), ("shuffled", "shuffled_mAP"), ("popularity", "popularity_mAP")):
            if key in known:
                values["cf2label", name][cfg.fold].append(known[key])
    if cfg is None:
        return "No CF model has finished."
    rows = ("popularity", "shuffled", *models)
    auc, cf2label = ({n: values[t, n] for n in rows if (t, n) in values} for t in ("auc", "cf2label"))
    folder = dataset_dir(cfg) / EVALUATION_DIR
    return save_cf_tables(folder, cfg.dataset.name, auc, cf2label, cfg.dataset.paper_results, cfg.leaks)
