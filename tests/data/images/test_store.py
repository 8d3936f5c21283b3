import pickle
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from src.config.datasets import TabularConfig
from src.data.images.store import INDEX_FILE, PIXELS_FILE, ImageStore, encode, write_store
from src.errors import ArtifactError


@pytest.fixture
def cfg(tmp_path):
    rng = np.random.default_rng(0)
    images = tmp_path / "images"
    images.mkdir()
    for name, shape in {"wide": (20, 30, 3), "tall": (40, 20, 3), "exact": (16, 16, 3)}.items():
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(images / f"{name}.png")
    shutil.copy(images / "wide.png", images / "copy.png")
    return TabularConfig(name="x", raw_dir=str(tmp_path), images_dir=str(images), store_size=16)


@pytest.fixture
def store(cfg, tmp_path):
    paths = {"3": "wide.png", "1": "tall.png", "2": "exact.png", "4": "wide.png", "5": "copy.png", "6": "gone.png"}
    images = pd.DataFrame(paths.items(), columns=["item_id", "path"])
    files = write_store(tmp_path / "store", images, cfg, num_workers=2)
    assert set(files["digest"].dropna().index) == {"wide.png", "tall.png", "exact.png", "copy.png"}
    assert files["digest"]["wide.png"] == files["digest"]["copy.png"]
    assert files["refused"].dropna().to_dict() == {"gone.png": "file is missing"}
    assert tuple(files.loc["wide.png", ["width", "height"]]) == Image.open(f"{cfg.images_dir}/wide.png").size
    return ImageStore.open(tmp_path / "store")


def test_reads_what_pil_reads(store, cfg):
    for item_id, name in {"1": "tall", "2": "exact", "3": "wide"}.items():
        image = Image.open(f"{cfg.images_dir}/{name}.png")
        scale = 16 / min(image.size)
        size = tuple(round(side * scale) for side in image.size)
        expected = np.asarray(image.resize(size, Image.Resampling.LANCZOS))
        assert (store.read(store.ranges([item_id])[0][0]) == expected).all()


def test_sizes_and_rows(store):
    assert len(store) == 5
    assert store.item_id.tolist() == ["1", "2", "3", "4", "5"]
    assert store.heights.tolist() == [32, 16, 16, 16, 16]
    assert store.widths.tolist() == [16, 16, 24, 24, 24]
    assert store.short_side == 16
    rows = store.ranges(np.array(["5", "1"]))[0]
    assert rows.tolist() == [4, 0]
    assert rows.dtype == np.int64


def test_same_content_is_stored_once(store, tmp_path):
    assert (tmp_path / "store" / PIXELS_FILE).stat().st_size == 3 * (16 * 24 + 32 * 16 + 16 * 16)
    assert (store.read(2) == store.read(4)).all()


def test_unknown_ids_are_named(store):
    with pytest.raises(ArtifactError, match=r"2 item\(s\) have no image in .*: 6, zzz"):
        store.ranges(["1", "6", "zzz"])


def test_warnings_of_decoders_name_the_file(cfg, tmp_path, caplog, monkeypatch):
    exact = Path(cfg.images_dir, "exact.png").read_bytes()

    def noisy(content, cfg):
        if content != exact:
            warnings.warn("odd metadata", stacklevel=1)
        return encode(content, cfg)

    monkeypatch.setattr("src.data.images.store.encode", noisy)
    images = pd.DataFrame({"item_id": ["1", "2", "3"], "path": ["exact.png", "tall.png", "wide.png"]})
    write_store(tmp_path / "store", images, cfg, num_workers=1)
    assert "2 image(s), such as tall.png: odd metadata" in caplog.text


def test_number_of_workers_changes_no_byte(cfg, tmp_path):
    names = ["wide.png", "tall.png", "exact.png"] * 5
    paths = pd.DataFrame({"item_id": map(str, range(15)), "path": names})
    for workers in (1, 4):
        write_store(tmp_path / f"store{workers}", paths, cfg, workers)
    for name in (PIXELS_FILE, INDEX_FILE):
        assert (tmp_path / "store1" / name).read_bytes() == (tmp_path / "store4" / name).read_bytes()


def test_pickled_store_holds_no_pixels(store):
    content = pickle.dumps(store)
    assert len(content) < 500
    assert (pickle.loads(content).read(1) == store.read(1)).all()


def test_truncated_pixels_are_found_on_opening(store, tmp_path):
    path = tmp_path / "store" / PIXELS_FILE
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"pixels\.bin should have 3456 bytes, but has 3455; run main_prepare"):
        ImageStore.open(tmp_path / "store")
    path.unlink()
    with pytest.raises(ArtifactError, match=r"but is missing"):
        ImageStore.open(tmp_path / "store")


def test_missing_index(tmp_path):
    with pytest.raises(ArtifactError, match=r"index\.npz does not exist"):
        ImageStore.open(tmp_path)


def test_empty_store(cfg, tmp_path):
    write_store(tmp_path / "none", pd.DataFrame({"item_id": [], "path": []}), cfg, 1)
    store = ImageStore.open(tmp_path / "none")
    assert len(store) == 0
    assert store.short_side == 0
