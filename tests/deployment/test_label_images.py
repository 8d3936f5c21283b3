"""Labels of new images: as the test stage scores them, whatever else lies in the folder."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from src.artifacts import Predictions
from src.classifiers.finished_run import FinishedRun
from src.data.images.new_images import find_images
from src.deployment.calibration import calibration_of
from src.errors import ArtifactError, ConfigError, DataError


def label(pipeline, images, *overrides):
    metrics = pipeline.run("use_model", f"images={images}", *overrides)
    folder = Path(metrics["results"])
    with (folder / "labels.csv").open() as stream:
        table = {Path(row["image"]).name: row for row in csv.DictReader(stream)}
    lines = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]
    return metrics, table, lines, folder


def test_the_test_sets_images_get_the_test_stages_scores(trained, tmp_path):
    trained.run("predict_testset")
    run = FinishedRun.choose(trained.outputs_dir / "tiny", "main", None)
    predictions = Predictions.load(run.directory / "predictions.npz")
    items = pd.read_parquet(trained.outputs_dir / "tiny" / "prepared" / "items.parquet").set_index("item_id")
    (tmp_path / "new" / "below").mkdir(parents=True)
    for place, item in enumerate(predictions.item_id):
        source = next(trained.raw_dir.rglob(items.loc[item, "image_paths"][0]))
        folder = tmp_path / "new" / ("below" if place % 2 else "")
        (folder / f"{item}{source.suffix}").write_bytes(source.read_bytes())
    metrics, table, lines, folder = label(trained, tmp_path / "new", "top_k=2", "features=true", "batch_size=7")
    assert (metrics["n_labelled"], metrics["n_failed"]) == (len(predictions.item_id), 0)
    calibration = calibration_of(run, 64)
    probabilities = calibration.probabilities(predictions.scores)
    by_item = {Path(line["image"]).stem: line for line in lines}
    for item, expected in zip(predictions.item_id, probabilities, strict=True):
        order = np.argsort(-expected, kind="stable")[:2]
        entries = by_item[item]["labels"]
        assert [entry["label"] for entry in entries] == [calibration.labels[n] for n in order]
        assert [entry["probability"] for entry in entries] == pytest.approx(expected[order], abs=1e-5)
        assert [entry["given"] for entry in entries] == list(expected[order] >= calibration.thresholds[order])
    row = next(iter(table.values()))
    assert list(row) == ["image", "error", "labels", "label_1", "probability_1", "label_2", "probability_2"]
    features = pd.read_parquet(folder / "features.parquet")
    assert len(features) == len(lines)
    assert len(features["cf_vector"][0]) == 8
    assert np.isfinite(np.stack(features["features"])).all()
    with Image.open(folder / "contact_sheet.png") as sheet:
        assert sheet.size[0] > 8 * 128


def test_cf_vectors_come_back_in_the_cf_models_own_space(trained):
    run = FinishedRun.choose(trained.outputs_dir / "tiny", "main", None)
    mean, deviation = run.network.heads.cf_scale.numpy()
    vectors = np.load(next((trained.outputs_dir / "tiny" / "recommender" / "vae").glob("*/item_vectors.npz")))[
        "vectors"
    ]
    assert mean == pytest.approx(vectors.mean(axis=0), abs=1e-5)
    assert deviation == pytest.approx(vectors.std(axis=0), abs=1e-5)


def test_a_bad_image_has_a_row_with_its_error_and_the_rest_goes_on(trained, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    (folder / "empty.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no image, not looked at")
    Image.new("RGB", (40, 40), "red").save(folder / "good=1,+.png")
    metrics, table, lines, _ = label(trained, folder, "features=true")
    assert (metrics["n_labelled"], metrics["n_failed"]) == (1, 2)
    assert table["empty.png"]["error"] == "file is empty"
    assert table["cut.jpg"]["error"]
    assert table["cut.jpg"]["label_1"] is None or table["cut.jpg"]["label_1"] == ""
    assert table["good=1,+.png"]["label_1"]
    assert sum(bool(line["labels"]) for line in lines) == 1


def test_a_list_names_files_relative_to_itself_and_bad_images_alone_are_no_error(trained, tmp_path):
    Image.new("L", (30, 50)).save(tmp_path / "a.png")
    (tmp_path / "list.txt").write_text("a.png\n\nmissing.png\n")
    metrics, table, _, folder = label(trained, tmp_path / "list.txt")
    assert (metrics["n_labelled"], metrics["n_failed"]) == (1, 1)
    assert table["missing.png"]["error"] == "file cannot be read"
    assert folder.name == "list"
    assert not (folder / "features.parquet").exists()
    (tmp_path / "bad.txt").write_text("missing.png\n")
    assert label(trained, tmp_path / "bad.txt")[0]["n_failed"] == 1


def test_what_is_not_there_is_named(trained, pipeline, tmp_path):
    with pytest.raises(DataError, match="a folder or a text file with one path a line"):
        label(trained, tmp_path / "nowhere")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="holds no image"):
        label(trained, tmp_path / "none")
    assert not list((trained.outputs_dir / "tiny" / "new_images").glob("none/*"))
    with pytest.raises(ArtifactError, match="has no finished run of study 'main'; train one first"):
        label(pipeline, tmp_path)
    with pytest.raises(ConfigError, match="run should be a directory below"):
        label(trained, tmp_path, f"run={tmp_path}")
    with pytest.raises(ArtifactError, match="holds no finished fine-tuning run"):
        label(trained, tmp_path, f"run={trained.outputs_dir}/tiny/classifier/mtl_uniform/none")
    with pytest.raises(ConfigError, match="top_k should be in"):
        label(trained, tmp_path, "top_k=0")


def test_images_are_found_one_by_one(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("a.jpg", "b/c.PNG", "b/d.txt"):
        (tmp_path / name).touch()
    (tmp_path / "b" / "again").symlink_to(tmp_path)
    found = find_images(tmp_path)
    assert iter(found) is found
    assert {path.relative_to(tmp_path).as_posix() for path in found} == {"a.jpg", "b/c.PNG"}
