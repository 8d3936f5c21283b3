import json
import threading

import pandas as pd
import pytest
from PIL import Image

from src.data.folds import open_fold
from src.data.images.store import ImageStore
from src.data.preparation import build, prepare
from src.data.preparation.catalog import part_of
from src.data.preparation.prepare import prepare_dataset
from src.errors import ArtifactError, DataError
from src.files import sha256_of_file
from tests.data.raw_formats import read_pairs
from tests.data.tiny import tiny_config, write_tiny_dataset


@pytest.fixture
def hand_made(tmp_path):
    """Seven items, of which every one shows another peculiarity."""
    folder = tmp_path / "raw"
    (folder / "images").mkdir(parents=True)
    for name, grey in {"a": 10, "b": 20, "c": 30}.items():
        Image.new("RGB", (40, 32), (grey, grey, grey)).save(folder / "images" / f"{name}.png")
    (folder / "images" / "broken.png").write_bytes(b"")
    (folder / "items.csv").write_text(
        "item_id,image,labels,family\n"
        "i1,a.png,cat|dog,f1\n"
        "i2,b.png,cat,f1\n"
        "i3,c.png,,\n"  # labels unknown
        "i4,c.png,rare|cat,\n"  # same image as i3; label with too few items
        "i5,,cat,\n"  # no image
        "i6,broken.png,dog,\n"
        "i7,../secret.png,dog,\n"
    )
    (folder / "interactions.csv").write_text("user_id,item_id\nv,i2\nu,i1\nu,i5\nu,i1\nw,unknown\n")
    return folder


def prepared_config(folder, tmp_path, **changes):
    return tiny_config(folder, tmp_path / "outputs", **changes)


def test_tables_by_hand(hand_made, tmp_path):
    cfg = prepared_config(hand_made, tmp_path, group_column="family", min_items_per_label=2, figures=True)
    statistics = prepare_dataset(cfg)
    prepared = tmp_path / "outputs" / "tiny" / "prepared"
    items = pd.read_parquet(prepared / "items.parquet")
    shared = "image-" + sha256_of_file(hand_made / "images" / "c.png")[:16]
    groups = ["f1", "f1", shared, shared, "item-i5", "item-i6", "item-i7"]
    assert items.columns.tolist() == ["item_id", "image_paths", "labels", "values", "image_group", "part"]
    assert items["item_id"].tolist() == ["i1", "i2", "i3", "i4", "i5", "i6", "i7"]
    assert [list(paths) for paths in items["image_paths"]] == [
        ["a.png"], ["b.png"], ["c.png"], ["c.png"], [], [], [],
    ]  # fmt: skip
    # dog has one item with image (i1), rare one: both fall below 2
    assert [None if x is None else list(x) for x in items["labels"]] == [
        ["cat"],
        ["cat"],
        None,
        ["cat"],
        ["cat"],
        [],
        [],
    ]
    assert items["image_group"].tolist() == groups
    assert items["part"].tolist() == [part_of(group) for group in groups]
    assert items["part"].dtype == "int8"
    assert read_pairs(prepared) == [["u", "i1"], ["u", "i5"], ["v", "i2"]]
    assert json.loads((prepared / "labels.json").read_text()) == ["cat"]
    assert ImageStore.open(prepared / "images").item_id.tolist() == ["i1", "i2", "i3", "i4"]

    report = json.loads((prepared / "report.json").read_text())
    assert report["statistics"] == statistics
    assert report["read"] == {"items": 7, "interactions": 5}
    assert report["dropped"]["interactions_with_an_unknown_item"] == 1
    assert report["dropped"]["interactions_repeated"] == 1
    assert report["items"] == {
        "whose_image_is_not_named": 1,
        "whose_image_was_refused": 2,
        "with_unknown_labels": 1,
        "known_to_have_no_label": 2,
        "without_interactions": 4,
    }
    assert report["images"]["refused"] == {
        "file is empty": {"count": 1, "examples": ["i6"]},
        "path leaves images_dir": {"count": 1, "examples": ["i7"]},
    }
    assert report["labels"] == {"merged_into_parent": {}, "dropped": {"dog": 1, "rare": 1}}
    assert statistics["images"] == 4
    assert statistics["labelled_items"] == 3

    manifest = json.loads((prepared / "manifest.json").read_text())
    assert sorted(manifest["files"]) == [
        "images/index.npz", "images/pixels.bin", "interactions.parquet", "items.parquet", "items_per_label.pdf",
        "items_per_label.png", "labels.json", "report.json", "report.md", "users.parquet",
    ]  # fmt: skip
    assert all(sha256_of_file(prepared / name) == digest for name, digest in manifest["files"].items())


def test_prepared_dataset_opens_as_a_fold(tmp_path):
    folder = write_tiny_dataset(tmp_path / "raw")
    prepare_dataset(prepared_config(folder, tmp_path))
    fold = open_fold(tmp_path / "outputs" / "tiny" / "prepared", 0)
    assert set(fold.items["split"]) == {"train", "val", "test"}
    store = ImageStore.open(fold.images_dir)
    assert store.ranges(fold.items["item_id"])[0].shape == (120,)
    assert store.short_side == 32


def test_no_interactions_and_no_labels_known_for_most(hand_made, tmp_path):
    cfg = prepared_config(hand_made, tmp_path, interactions_file=None)
    statistics = prepare_dataset(cfg)
    pairs = pd.read_parquet(tmp_path / "outputs" / "tiny" / "prepared" / "interactions.parquet")
    assert pairs.columns.tolist() == ["user_idx", "item_idx"]
    assert len(pairs) == 0
    assert (statistics["users"], statistics["interactions"], statistics["sparsity"]) == (0, 0, 0.0)
    assert len(open_fold(tmp_path / "outputs" / "tiny" / "prepared", 0).train_interactions) == 0


def test_finished_is_skipped_and_changes_are_noticed(hand_made, tmp_path, caplog):
    caplog.set_level("INFO")
    manifest = tmp_path / "outputs" / "tiny" / "prepared" / "manifest.json"

    def again(force=False, **changes):
        caplog.clear()
        before = manifest.stat().st_ino if manifest.exists() else None
        cfg = prepared_config(hand_made, tmp_path, force=force, **changes)
        statistics = prepare_dataset(cfg)
        return statistics, manifest.stat().st_ino == before

    first, kept = again()
    assert not kept
    second, kept = again()
    assert kept
    assert second == first
    assert "finished, skipped" in caplog.text
    assert again(obtain="elsewhere")[1]  # defines no result
    assert not again(force=True)[1]
    assert not again(store_size=16)[1]
    assert "have changed" in caplog.text
    with (hand_made / "interactions.csv").open("a") as stream:
        stream.write("x,i1\n")
    assert not again(store_size=16)[1]
    Image.new("RGB", (40, 32), (99, 99, 99)).save(hand_made / "images" / "broken.png")
    statistics, kept = again(store_size=16)
    assert not kept
    assert statistics["images"] == 5
    (manifest.parent / "labels.json").unlink()  # no longer whole
    assert not again(store_size=16)[1]


def test_twice_gives_the_same_bytes(tmp_path):
    folder = write_tiny_dataset(tmp_path / "raw", n_items=20, n_users=10)
    digests = []
    for outputs in ("one", "two"):
        prepare_dataset(tiny_config(folder, tmp_path / outputs))
        digests.append(json.loads((tmp_path / outputs / "tiny" / "prepared" / "manifest.json").read_text())["files"])
    assert digests[0] == digests[1]


@pytest.mark.parametrize(("module", "step"), [
    *((build, step) for step in ("write_store", "save_table", "describe_dataset", "plot_items_per_label")),
    *((prepare, step) for step in ("build_manifest", "save_json")),
])  # fmt: skip
def test_killed_half_way_leaves_nothing_that_looks_finished(module, step, hand_made, tmp_path, monkeypatch):
    cfg = prepared_config(hand_made, tmp_path, figures=True)

    def killed(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, step, killed)
        with pytest.raises(KeyboardInterrupt):
            prepare_dataset(cfg)
    assert not (tmp_path / "outputs" / "tiny" / "prepared").exists()
    prepare_dataset(cfg)
    assert sorted(path.name for path in (tmp_path / "outputs" / "tiny").iterdir()) == ["prepared", "prepared.lock"]


def test_killed_again_keeps_the_former_result(hand_made, tmp_path, monkeypatch):
    prepare_dataset(prepared_config(hand_made, tmp_path))
    manifest = tmp_path / "outputs" / "tiny" / "prepared" / "manifest.json"
    before = manifest.read_bytes()
    leftover = tmp_path / "outputs" / "tiny" / ".prepared.killed"  # as a process killed outright leaves it
    leftover.mkdir()
    monkeypatch.setattr(build, "save_table", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        prepare_dataset(prepared_config(hand_made, tmp_path, force=True))
    assert manifest.read_bytes() == before
    assert not leftover.exists()


def test_two_at_once_prepare_once(tmp_path, monkeypatch):
    folder = write_tiny_dataset(tmp_path / "raw", n_items=30, n_users=10)
    builds = []
    original = build.build_dataset
    monkeypatch.setattr(build, "build_dataset", lambda *args: builds.append(1) or original(*args))
    results = []
    cfg = prepared_config(folder, tmp_path)
    threads = [threading.Thread(target=lambda: results.append(prepare_dataset(cfg))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1
    assert results[0] == results[1]


def test_missing_tables_and_images(hand_made, tmp_path):
    with pytest.raises(DataError, match=r"gone\.csv does not exist\. Put the raw file there"):
        prepare_dataset(prepared_config(hand_made, tmp_path, items_file="gone.csv"))
    with pytest.raises(DataError, match=r"nowhere should be the folder of the images, but is none.* Buy it\."):
        prepare_dataset(prepared_config(hand_made, tmp_path, images_dir=str(tmp_path / "nowhere"), obtain="Buy it."))
    (tmp_path / "void").mkdir()
    with pytest.raises(DataError, match=r"none of 6 is: file is missing \(5\), path leaves images_dir \(1\)\. Check"):
        prepare_dataset(prepared_config(hand_made, tmp_path, images_dir=str(tmp_path / "void")))


def test_verifying_names_the_file_and_both_checksums(hand_made, tmp_path, caplog):
    cfg = prepared_config(hand_made, tmp_path)
    prepare_dataset(cfg)
    cfg.verify = True
    caplog.set_level("INFO")
    prepare_dataset(cfg)
    assert "are as they were written" in caplog.text
    path = tmp_path / "outputs" / "tiny" / "prepared" / "images" / "pixels.bin"
    assert path.is_file()
    content, before = bytearray(path.read_bytes()), sha256_of_file(path)
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        ArtifactError, match=rf"images/pixels.bin \(SHA-256 {sha256_of_file(path)} instead of {before}\)"
    ):
        prepare_dataset(cfg)
    cfg.force = True
    prepare_dataset(cfg)
    assert sha256_of_file(path) == before
