"""The image store: all images of a dataset, decoded once and kept as raw pixels in one memory-mapped file."""

import hashlib
import logging
import threading
import time
import warnings
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd

from src.artifacts import ArrayArtifact, check_rows
from src.config.datasets import DatasetConfig
from src.console import progress
from src.data.images.decode import RefusedImageError, decode_image, fit
from src.data.images.duplicates import difference_hash
from src.data.images.folder import open_images
from src.errors import ArtifactError
from src.files import atomic_path
from src.machine import map_in_order, n_cores

logger = logging.getLogger(__name__)

PIXELS_FILE, INDEX_FILE = "pixels.bin", "index.npz"
FILE_COLUMNS = ("refused", "digest", "width", "height", "hash")


@dataclass(frozen=True)
class StoreIndex(ArrayArtifact):
    """Where each item's images lie in the pixel file, one row an image, those of an item one after another.

    ``item_id`` [n] str, ``offset`` [n] (bytes), ``height`` and ``width`` [n] (pixels), int64, and ``sha256`` [n] str of
    the image file. Items with the same image share an offset.
    """

    item_id: np.ndarray
    offset: np.ndarray
    height: np.ndarray
    width: np.ndarray
    sha256: np.ndarray

    def __post_init__(self) -> None:
        """Check that there is one row an image."""
        rows = np.arange(len(self.item_id)).astype(np.str_)
        check_rows(rows, offset=self.offset, height=self.height, width=self.width, sha256=self.sha256)

    @property
    def n_bytes(self) -> int:
        """Size that the pixel file must have."""
        ends = self.offset + 3 * self.height * self.width
        return int(ends.max(initial=0))


class ImageStore:
    """Read access to decoded images by row; processes that open the same store share its memory."""

    def __init__(self, directory: Path, index: StoreIndex) -> None:
        """Map the pixel file; use ``open``, which checks it first."""
        self.directory = directory
        self.item_id = index.item_id
        self.heights = index.height
        self.widths = index.width
        self.short_side = int(min(index.height.min(), index.width.min())) if len(index.item_id) else 0
        self._offset = index.offset
        names, self._first, self._count = np.unique(index.item_id, return_index=True, return_counts=True)
        self._names = pd.Index(names)
        path = directory / PIXELS_FILE
        # Copy on write, since torch takes no read-only memory; nothing ever writes to it.
        self._pixels = np.memmap(path, np.uint8, mode="c") if index.n_bytes else np.empty(0, np.uint8)

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open a store; raises ``ArtifactError`` when a file is missing, damaged, or not as long as the index says."""
        if not directory.is_dir():
            raise ArtifactError(
                f"{directory} does not exist: the dataset was prepared without images, which this stage needs. Set "
                "dataset.images_dir and prepare it again, or train CF models and method=cf2label, which need none."
            )
        index = StoreIndex.load(directory / INDEX_FILE)
        path = directory / PIXELS_FILE
        size = path.stat().st_size if path.is_file() else None
        if size != index.n_bytes:
            came = "is missing" if size is None else f"has {size}"
            raise ArtifactError(
                f"{path} should have {index.n_bytes} bytes, but {came}; run main_prepare_dataset.py with force=true."
            )
        return cls(directory, index)

    def __len__(self) -> int:
        return len(self.item_id)

    def __reduce__(self) -> tuple[Any, ...]:
        """Send only the folder to other processes, never the pixels."""
        return ImageStore.open, (self.directory,)

    def ranges(self, item_ids: Any) -> tuple[np.ndarray, np.ndarray]:
        """First row and number of each item's images, [n] int64; raises ``ArtifactError`` naming ids without one."""
        place = self._names.get_indexer(item_ids)
        unknown = np.asarray(item_ids)[place < 0]
        if len(unknown):
            shown = ", ".join(map(str, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
            raise ArtifactError(f"{len(unknown)} item(s) have no image in {self.directory}: {shown}; prepare it again.")
        return self._first[place], self._count[place]

    def images_of(self, item_ids: Any) -> tuple[np.ndarray, np.ndarray]:
        """Rows of all images of some items, [m] int64, and the place of each one's item among them, [m]."""
        first, count = self.ranges(item_ids)
        item = np.repeat(np.arange(len(first)), count)
        return first[item] + np.arange(len(item)) - np.repeat(np.cumsum(count) - count, count), item

    def read(self, row: int) -> np.ndarray:
        """Pixels of one image, [H, W, 3] uint8: a view of the file, not to be written to."""
        height, width, start = int(self.heights[row]), int(self.widths[row]), int(self._offset[row])
        return np.asarray(self._pixels[start : start + 3 * height * width]).reshape(height, width, 3)


class DecodedImage(NamedTuple):
    """An image as it is stored, [H, W, 3] uint8; and its file's SHA-256, declared width and height, difference hash."""

    pixels: np.ndarray
    digest: str
    size: tuple[int, int]
    lookalike_hash: int


def load_image(path: Path, cfg: DatasetConfig) -> DecodedImage:
    """Read, decode, crop to the largest allowed aspect ratio, and resize the short side to ``cfg.store_size``.

    Raises ``RefusedImageError``: the file cannot be used; the message says why.
    """
    try:
        return encode(path.read_bytes(), cfg)
    except OSError as error:
        raise RefusedImageError("file cannot be read") from error


def encode(content: bytes, cfg: DatasetConfig) -> DecodedImage:
    """As ``load_image``, from a file's content."""
    rgb, size = decode_image(content, cfg)
    return DecodedImage(fit(rgb, cfg), hashlib.sha256(content).hexdigest(), size, difference_hash(rgb))


def write_store(directory: Path, images: pd.DataFrame, cfg: DatasetConfig, num_workers: int | None) -> pd.DataFrame:
    """Decode all images and write the store, whole; each file is decoded once and each content stored once.

    ``images`` have ``item_id`` and ``path``. The workers are threads, since decoders release the interpreter lock.

    Returns:
        What became of each file, by sorted path: why it was ``refused``, or null, and then the SHA-256 of its content
        (``digest``), the ``width`` and ``height`` that it declares, and its difference ``hash``.
    """
    source = open_images(cfg)
    place: dict[str, tuple[int, int, int]] = {}  # offset, height, width by content
    rows: list[tuple[Any, ...]] = []
    started, size = time.monotonic(), 0
    paths = sorted(set(images["path"]))

    current, warned = threading.local(), defaultdict[str, list[str]](list)

    def decode(path: str) -> DecodedImage | str:
        current.path = path
        try:
            return encode(source.read(path), cfg)
        except RefusedImageError as reason:
            return str(reason)

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        warned[str(message)].append(getattr(current, "path", "another file"))

    decoded = progress(map_in_order(decode, paths, num_workers or n_cores()), "images", len(paths))
    with (
        atomic_path(directory / PIXELS_FILE) as temporary,
        temporary.open("wb") as stream,
        warnings.catch_warnings(action="always"),
    ):
        warnings.showwarning = show
        for _, image in decoded:
            if isinstance(image, str):
                rows.append((image, None, None, None, None))
                continue
            rows.append((None, image.digest, *image.size, image.lookalike_hash))
            if image.digest not in place:
                place[image.digest] = (size, *image.pixels.shape[:2])
                size += stream.write(image.pixels.tobytes())
    for message, of_files in warned.items():
        logger.warning("%d image(s), such as %s: %s", len(of_files), of_files[0], message)
    files = pd.DataFrame(rows, pd.Index(paths, dtype=object), FILE_COLUMNS, dtype=object)
    stored = (
        images.assign(digest=images["path"].map(files["digest"]))
        .dropna(subset="digest")
        .sort_values("item_id", kind="stable")
    )
    offset, height, width = np.array([place[digest] for digest in stored["digest"]], dtype=np.int64).reshape(-1, 3).T
    names, digests = stored["item_id"].to_numpy(np.str_), stored["digest"].to_numpy(np.str_)
    StoreIndex(names, offset, height, width, digests).save(directory / INDEX_FILE)
    rate = len(paths) / max(time.monotonic() - started, 1e-9)
    logger.info(
        "Stored %d of %d images: %.0f MB, %.0f a second.", files["digest"].count(), len(paths), size / 1e6, rate
    )
    return files
