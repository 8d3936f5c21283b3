"""Labels of new images: as the test stage scores them, whatever else lies in the folder."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from src.artifacts import Predictions
from src.classifiers.finished_run import FinishedRun
from src.data.images.decode import FORMATS
from src.deployment.calibration import calibration_of
from src.deployment.standalone.image_files import as_text, find_images
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
    (folder / "notes.txt").write_text("no image")
    Image.new("RGB", (40, 40), "red").save(folder / "good=1,+.png")
    metrics, table, lines, _ = label(trained, folder, "features=true")
    assert (metrics["n_labelled"], metrics["n_failed"]) == (1, 3)
    assert table["notes.txt"]["error"] == "file is not an image of a known format"
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
    assert table["missing.png"]["error"] == "file is missing, or no regular file"
    assert folder.name.startswith("list.txt-")
    assert not (folder / "features.parquet").exists()
    (tmp_path / "bad.txt").write_text("missing.png\n")
    assert label(trained, tmp_path / "bad.txt")[0]["n_failed"] == 1


def test_what_is_not_there_is_named(trained, pipeline, tmp_path):
    with pytest.raises(DataError, match=r"images should be an image, a folder or a list, but .*nowhere does not exist"):
        label(trained, tmp_path / "nowhere")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="holds no file"):
        label(trained, tmp_path / "none")
    assert not list((trained.outputs_dir / "tiny" / "new_images").glob("none-*/*"))
    with pytest.raises(ArtifactError, match="has no finished run of study 'main'; train one first"):
        label(pipeline, tmp_path)
    with pytest.raises(ConfigError, match="run should be a directory below"):
        label(trained, tmp_path, f"run={tmp_path}")
    with pytest.raises(ArtifactError, match="holds no finished fine-tuning run"):
        label(trained, tmp_path, f"run={trained.outputs_dir}/tiny/classifier/mtl_uniform/none")
    with pytest.raises(ConfigError, match="top_k should be in"):
        label(trained, tmp_path, "top_k=0")


def found(source):
    return {
        as_text(path.relative_to(source if source.is_dir() else source.parent)) for path in find_images(source, FORMATS)
    }


def test_files_are_found_one_by_one_whatever_their_ending_and_through_links(tmp_path):
    (tmp_path / "photos" / "b").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    names = ["a.jpg", "b/c.PNG", "d.jfif", "e.jpe", "f.mpo", "g.heic", "without_ending", ".hidden"]
    for name in names:
        (tmp_path / "photos" / name).touch()
    (tmp_path / "elsewhere" / "h.jpg").touch()
    (tmp_path / "photos" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos" / "b" / "again").symlink_to(tmp_path / "photos")  # a circle
    (tmp_path / "photos" / "broken.jpg").symlink_to("nowhere")
    (tmp_path / "photos" / "itself").symlink_to("itself")
    paths = find_images(tmp_path / "photos", FORMATS)
    assert iter(paths) is paths
    assert found(tmp_path / "photos") == {*names, "link/h.jpg", "broken.jpg", "itself"}


LISTS = {
    "UTF-16 of PowerShell": "\r\n".join(['"sub\\café.png"', "b.png", ""]).encode("utf-16"),
    "UTF-16, big end first": b"\xfe\xff" + "sub/café.png\r\nb.png".encode("utf-16-be"),
    "UTF-8 with a byte order mark": b"\xef\xbb\xbf" + "sub/café.png\nb.png\n".encode(),
    "backslashes": "sub\\café.png\r\n.\\b.png\r\n".encode(),
    "quotes": "'sub/café.png'\n\n  \"b.png\"  \n".encode(),
    "Windows code page": "sub\\café.png\r\nb.png".encode("cp1252"),
}


@pytest.mark.parametrize("content", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("name", ["list.txt", "list"])
def test_lists_name_the_same_files_whatever_wrote_them(tmp_path, content, name):
    (tmp_path / "sub").mkdir()
    for image in ("sub/café.png", "b.png"):
        (tmp_path / image).touch()
    (tmp_path / name).write_bytes(content)
    assert found(tmp_path / name) == {"sub/café.png", "b.png"}


def test_names_are_taken_as_they_stand_where_there_is_such_a_file(tmp_path):
    names = [b'"quoted".png', b"back\\slash.png", b"caf\xe9.png"]
    for name in names:
        (tmp_path / os.fsdecode(name)).touch()
    (tmp_path / "list").write_bytes(b"\n".join(names))
    assert found(tmp_path / "list") == {'"quoted".png', "back\\slash.png", "caf\\udce9.png"}


def test_what_is_an_image_is_decided_by_its_bytes(tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "image", format="PNG")
    (tmp_path / "cut").write_bytes((tmp_path / "image").read_bytes()[:60])
    (tmp_path / "page.jpg").write_text("<html>\nnot found\n</html>")
    (tmp_path / "numbers.dat").write_bytes(bytes(range(256)))
    for name in ("image", "cut", "page.jpg", "numbers.dat", "missing"):
        assert found(tmp_path / name) == {name}


def test_every_file_given_has_a_row_in_every_result(trained, tmp_path):
    folder = tmp_path / "photos.2023"
    folder.mkdir()
    picture = Image.new("RGB", (40, 40), "red")
    for name, kind in (("a.jfif", "JPEG"), ("b", "PNG"), ("c.heic", "WEBP"), (os.fsdecode(b"caf\xe9.jpg"), "JPEG")):
        with (folder / name).open("wb") as stream:
            picture.save(stream, kind)
    (folder / "heif.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    os.mkfifo(folder / "pipe.jpg")
    metrics, table, lines, results = label(trained, folder, "features=true")
    assert (metrics["n_labelled"], metrics["n_failed"]) == (4, 2)
    assert set(table) == {"a.jfif", "b", "c.heic", "caf\\udce9.jpg", "heif.heic", "pipe.jpg"}
    assert table["pipe.jpg"]["error"] == "file is missing, or no regular file"
    assert {Path(line["image"]).name for line in lines} == set(table)
    labelled = {name for name, row in table.items() if not row["error"]}
    assert {Path(name).name for name in pd.read_parquet(results / "features.parquet")["image"]} == labelled
    assert all(table[name]["label_1"] for name in labelled)


def test_results_of_different_images_never_overwrite_each_other(trained, tmp_path):
    folders = [tmp_path / name for name in ("photos.2023", "photos.2024", "a/photos.2023", "b/photos.2023")]
    for folder in folders:
        folder.mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(folder / "one.png")
    results = {label(trained, folder)[3] for folder in folders}
    assert len(results) == len(folders)
    assert label(trained, folders[0])[3] in results
    metrics, table, _, _ = label(trained, folders[0] / "one.png")
    assert (metrics["n_labelled"], list(table)) == (1, ["one.png"])


@pytest.mark.slow
def test_the_exported_script_finds_the_same_files(trained, tmp_path):
    folder = Path(trained.run("use_model", "export=torch_export")["results"])
    (tmp_path / "photos" / "below").mkdir(parents=True)
    for name in ("a.jfif", "below/b", os.fsdecode(b"caf\xe9.jpg")):
        with (tmp_path / "photos" / name).open("wb") as stream:
            Image.new("RGB", (40, 40), "red").save(stream, "JPEG")
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    os.mkfifo(tmp_path / "photos" / "pipe.jpg")
    (tmp_path / "list.txt").write_text('"photos\\a.jfif"\r\nmissing.jpg\r\n', encoding="utf-16")
    given = [tmp_path / "photos", tmp_path / "list.txt", tmp_path / "photos" / "a.jfif", tmp_path / "none"]
    command = [sys.executable, folder / "label_images.py", *given]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    rows = [json.loads(line) for line in answer.stdout.splitlines()]
    names = ["a.jfif", "below/b", "caf\\udce9.jpg", "notes.txt", "pipe.jpg"]
    assert sorted(row["image"] for row in rows[:5]) == [str(tmp_path / "photos" / name) for name in names]
    assert [Path(row["image"]).name for row in rows[5:]] == ["a.jfif", "missing.jpg", "a.jfif", "none"]
    failed = {Path(row["image"]).name: row["error"] for row in rows if "error" in row}
    missing = "file is missing, or no regular file"
    unknown = "file is not an image of a known format"
    assert failed == {"notes.txt": unknown, "pipe.jpg": missing, "missing.jpg": missing, "none": missing}
    _, table, _, _ = label(trained, tmp_path / "photos")
    assert {name: row["error"] for name, row in table.items() if row["error"]} == {
        "notes.txt": unknown,
        "pipe.jpg": missing,
    }
