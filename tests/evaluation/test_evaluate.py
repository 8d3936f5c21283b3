"""The whole stage on synthetic runs: files, numbers, determinism, errors."""

import csv
import json
import logging
import shutil

import numpy as np
import pytest

from src.artifacts import Predictions
from src.config.datasets import DatasetConfig
from src.config.stages import EvaluateConfig
from src.errors import ArtifactError
from src.evaluation.evaluate import evaluate
from src.evaluation.statistics.metrics import mean_average_precision
from src.files import save_yaml
from tests.evaluation.synthetic import write_outputs

EFFECTS = {"mtl_loss": 1.5, "image_only": 0.0, "sequential": 0.0}


def _config(outputs_dir, **changes) -> EvaluateConfig:
    settings = {"outputs_dir": str(outputs_dir), "n_resamples": 60, "n_permutations": 60} | changes
    return EvaluateConfig(dataset=DatasetConfig(name=settings.pop("dataset", "toys")), **settings)


def _read_csv(path) -> dict[str, dict[str, str]]:
    with path.open() as stream:
        return {row["method"]: row for row in csv.DictReader(stream)}


def _bytes(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.slow
def test_all_files_are_written_and_equal_seeds_give_equal_bytes(tmp_path):
    write_outputs(tmp_path / "toys", EFFECTS, ratios=(0.5, 1.0))
    folder = tmp_path / "toys" / "evaluation"
    content = evaluate(_config(tmp_path))
    first = _bytes(folder)
    stems = [f"{kind}_net-a_64px_ratio{ratio}" for kind in ("methods", "learning_curves") for ratio in ("0.5", "1")]
    expected = {f"{stem}.{ending}" for stem in stems[:2] for ending in ("csv", "md", "tex")}
    expected |= {f"per_class_net-a_64px_ratio{ratio}.csv" for ratio in ("0.5", "1")} | {"results.json", "report.html"}
    expected |= {f"labels_saved_net-a_64px.{ending}" for ending in ("csv", "md", "tex")}
    figures = ("mAP_", "mAP_by_ratio_", "mAP_improvement_", "labels_saved_")
    stems = [*stems[2:], *(f"{kind}net-a_64px" for kind in figures)]
    expected |= {f"{stem}.{ending}" for stem in stems for ending in ("png", "pdf")}
    assert set(first) == expected
    assert json.loads(first["results.json"]) == content
    assert evaluate(_config(tmp_path)) == content
    assert _bytes(folder) == first
    assert evaluate(_config(tmp_path, seed=1)) != content


def test_numbers_of_the_table(tmp_path):
    runs = write_outputs(tmp_path / "toys", EFFECTS)
    evaluate(_config(tmp_path, figures=False))
    rows = _read_csv(tmp_path / "toys" / "evaluation" / "methods_net-a_64px_ratio1.csv")
    assert list(rows) == ["image_only", "sequential", "mtl_loss"]
    means = {}
    for method in EFFECTS:
        files = [tmp_path / "toys" / run["run"] / "predictions.npz" for run in runs if run["method"] == method]
        loaded = [Predictions.load(path) for path in files]
        means[method] = np.mean([mean_average_precision(p.targets, p.scores) for p in loaded])
        assert float(rows[method]["mAP"]) == pytest.approx(means[method], abs=1e-8)
        assert float(rows[method]["mAP_low"]) < means[method] < float(rows[method]["mAP_high"])
        assert (rows[method]["n_folds"], rows[method]["n_seeds"]) == ("2", "2")
    better = rows["mtl_loss"]
    difference = means["mtl_loss"] - means["image_only"]
    assert float(better["difference"]) == pytest.approx(difference, abs=1e-8)
    assert float(better["difference_percent"]) == pytest.approx(100 * difference / means["image_only"], abs=1e-6)
    assert float(better["difference_low"]) > 0
    assert float(better["p_randomization"]) == pytest.approx(1 / 61)
    assert float(better["p_randomization_holm"]) == pytest.approx(2 / 61)
    assert better["t_test_unit"] == "fold"
    assert rows["image_only"]["difference"] == rows["image_only"]["significant"] == ""
    assert rows["sequential"]["significant"] == "no"
    assert "top1_accuracy" not in better


def test_all_methods_share_the_draws_of_a_fold(tmp_path):
    runs = write_outputs(tmp_path / "toys", {"image_only": 0.0}, seeds=(0,))
    for run in list(runs):
        copy = run | {"method": "mtl_loss", "run": run["run"] + "_copy"}
        shutil.copytree(tmp_path / "toys" / run["run"], tmp_path / "toys" / copy["run"])
        runs.append(copy)
    save_yaml(tmp_path / "toys" / "results.yaml", {"runs": runs})
    evaluate(_config(tmp_path, figures=False))
    row = _read_csv(tmp_path / "toys" / "evaluation" / "methods_net-a_64px_ratio1.csv")["mtl_loss"]
    assert [row[name] for name in ("difference", "difference_low", "difference_high", "standard_error")] == ["0"] * 4
    assert row["p_randomization"] == "1"


def test_one_run_is_never_significant(tmp_path):
    write_outputs(tmp_path / "toys", EFFECTS, folds=(0,), seeds=(0,))
    evaluate(_config(tmp_path, figures=False))
    row = _read_csv(tmp_path / "toys" / "evaluation" / "methods_net-a_64px_ratio1.csv")["mtl_loss"]
    assert float(row["p_randomization_holm"]) < 0.05
    assert row["p_t_test"] == ""
    assert row["significant"] == "one run"


def test_single_label_data_get_top1_accuracy(tmp_path):
    write_outputs(tmp_path / "toys", EFFECTS, seeds=(0,), single_label=True)
    evaluate(_config(tmp_path, figures=False))
    row = _read_csv(tmp_path / "toys" / "evaluation" / "methods_net-a_64px_ratio1.csv")["mtl_loss"]
    assert row["top1_accuracy"] == row["recall_at_1"] != ""


def test_runs_that_only_one_method_has_are_left_out_of_the_difference(tmp_path, caplog):
    runs = write_outputs(tmp_path / "toys", EFFECTS)
    kept = [run for run in runs if run["method"] != "mtl_loss" or run["fold"] == 0]
    save_yaml(tmp_path / "toys" / "results.yaml", {"runs": kept})
    with caplog.at_level(logging.WARNING):
        evaluate(_config(tmp_path, figures=False))
    row = _read_csv(tmp_path / "toys" / "evaluation" / "methods_net-a_64px_ratio1.csv")["mtl_loss"]
    assert (row["n_pairs"], row["n_unpaired"], row["t_test_unit"]) == ("2", "2", "seed")
    assert "2 that only one of them has" in caplog.text


def test_without_baseline_there_are_values_but_no_differences(tmp_path, caplog):
    write_outputs(tmp_path / "toys", {"mtl_loss": 1.0}, seeds=(0,))
    with caplog.at_level(logging.WARNING):
        evaluate(_config(tmp_path, figures=False))
    assert "no run of the baseline image_only" in caplog.text
    row = _read_csv(tmp_path / "toys" / "evaluation" / "methods_net-a_64px_ratio1.csv")["mtl_loss"]
    assert (row["difference"], row["significant"]) == ("", "")


def test_paper_protocol_is_stamped_everywhere(tmp_path, caplog):
    write_outputs(tmp_path / "toys", EFFECTS)
    with caplog.at_level(logging.INFO):
        content = evaluate(_config(tmp_path, protocol="paper"))
    assert "not valid inference" in caplog.text
    stamp = "as the original did, not valid inference"
    files = _bytes(tmp_path / "toys" / "evaluation")
    assert set(files) == {"results_paper.json"} | {f"paper_net-a_64px_ratio1.{e}" for e in ("csv", "md", "tex")}
    assert all(stamp in text.decode() for text in files.values())
    assert content["settings"][0]["methods"][0]["note"] == stamp


def test_all_datasets_at_once(tmp_path):
    for name in ("toys", "films"):
        write_outputs(tmp_path / name, EFFECTS, seeds=(0,))
    content = evaluate(_config(tmp_path, dataset="all", figures=False))
    assert list(content) == ["films", "toys"]
    page = (tmp_path / "evaluation" / "methods_main_valid.md").read_text()
    assert page.index("# films: net_a") < page.index("# toys: net_a")


def test_nothing_to_evaluate_names_the_command(tmp_path):
    with pytest.raises(ArtifactError, match=r"run `python main_predict_testset.py dataset=\.\.\.` for each dataset"):
        evaluate(_config(tmp_path, dataset="all"))
    with pytest.raises(ArtifactError, match=r"run `python main_predict_testset.py dataset=toys study=main` first"):
        evaluate(_config(tmp_path))


def test_another_study_has_a_folder_of_its_own(tmp_path):
    runs = write_outputs(tmp_path / "toys", EFFECTS, seeds=(0,))
    save_yaml(tmp_path / "toys" / "results.yaml", {"runs": [run | {"study": "ablation"} for run in runs]})
    evaluate(_config(tmp_path, study="ablation", figures=False))
    assert (tmp_path / "toys" / "evaluation" / "ablation" / "results.json").is_file()


def test_the_papers_numbers_stand_beside_ours_at_full_labels_only(tmp_path):
    write_outputs(tmp_path / "toys", EFFECTS, ratios=(0.5, 1.0))
    cfg = _config(tmp_path, figures=False)
    cfg.dataset.paper_results = {"mAP": {"image_only": 0.4, "mtl_loss": 0.5}}
    evaluate(cfg)
    folder = tmp_path / "toys" / "evaluation"
    rows = _read_csv(folder / "methods_net-a_64px_ratio1.csv")
    assert [rows[method]["paper_mAP"] for method in ("image_only", "sequential", "mtl_loss")] == ["0.4", "", "0.5"]
    assert [rows[method]["paper_percent"] for method in ("image_only", "sequential", "mtl_loss")] == ["", "", "25"]
    assert "| 0.500 | +25.0 |" in (folder / "methods_net-a_64px_ratio1.md").read_text()
    assert "paper" not in (folder / "methods_net-a_64px_ratio0.5.md").read_text()
