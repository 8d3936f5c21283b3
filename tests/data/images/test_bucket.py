"""Images that lie behind an address, in fsspec's memory file system."""

import shutil
from collections import Counter
from pathlib import Path

import fsspec
import pytest

from src.data.images.folder import RemoteImages
from src.data.images.store import ImageStore
from src.data.preparation.prepare import prepare_dataset
from src.errors import ConfigError, DataError
from tests.data.tiny import tiny_config, write_tiny_dataset

ADDRESS = "memory://bucket/photos"


@pytest.fixture
def bucket():
    files = fsspec.filesystem("memory")
    files.mkdirs("/bucket/photos")
    yield files
    files.rm("/bucket", recursive=True)


@pytest.fixture
def folder(tmp_path, bucket):
    folder = write_tiny_dataset(tmp_path / "raw", n_items=30, n_users=40)
    for path in (folder / "images").iterdir():
        bucket.pipe_file(f"/bucket/photos/{path.name}", path.read_bytes())
    return folder


def test_prepared_from_a_bucket_as_from_a_folder(folder, tmp_path, monkeypatch):
    reads = Counter()
    read = RemoteImages.read
    monkeypatch.setattr(RemoteImages, "read", lambda self, path: reads.update([path]) or read(self, path))
    local = prepare_dataset(tiny_config(folder, tmp_path / "local"))
    shutil.rmtree(folder / "images")
    cfg = tiny_config(folder, tmp_path / "remote", images_dir=ADDRESS)
    assert prepare_dataset(cfg) == local
    one, other = (tmp_path / name / "tiny" / "prepared" / "images" for name in ("local", "remote"))
    assert (one / "pixels.bin").read_bytes() == (other / "pixels.bin").read_bytes()
    assert set(reads.values()) == {1}
    assert len(ImageStore.open(other)) == len(reads) == 30
    prepare_dataset(cfg)
    assert set(reads.values()) == {1}  # finished, skipped


def test_a_changed_image_is_seen(folder, tmp_path, bucket):
    cfg = tiny_config(folder, tmp_path / "outputs", images_dir=ADDRESS)
    prepare_dataset(cfg)
    bucket.pipe_file("/bucket/photos/item0000.png", b"damaged")
    assert prepare_dataset(cfg)["images"] == 29


def test_paths_stay_in_the_bucket(folder, tmp_path, bucket):
    bucket.pipe_file("/bucket/secret.png", (folder / "images" / "item0000.png").read_bytes())
    table = (folder / "items.csv").read_text()
    table = table.replace("item0001.png", "../secret.png").replace("item0002.png", "/bucket/secret.png")
    (folder / "items.csv").write_text(table.replace("item0003.png", "gone.png"))
    cfg = tiny_config(folder, tmp_path / "outputs", images_dir=ADDRESS)
    assert prepare_dataset(cfg)["images"] == 27
    report = Path(tmp_path, "outputs", "tiny", "prepared", "report.json").read_text()
    assert "path leaves images_dir" in report
    assert "file is missing" in report


@pytest.mark.parametrize("address", ["nonsense://bucket", "s3://bucket"])
def test_what_cannot_be_opened_says_what_to_install(address, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(ConfigError, match=r"cannot be opened .*pip install s3fs for s3://"):
        RemoteImages(address)


def test_an_empty_bucket(tmp_path, folder):
    cfg = tiny_config(folder, tmp_path / "outputs", images_dir="memory://bucket/nothing")
    with pytest.raises(DataError, match=r"none of 30 is: file is missing \(30\)|cannot be listed"):
        prepare_dataset(cfg)
