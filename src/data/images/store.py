"""The image store: all images of a dataset, decoded once and kept as raw pixels in one memory-mapped file."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from tqdm import tqdm

from src.artifacts import ArrayArtifact, check_rows
from src.config.datasets import DatasetConfig
from src.data.images.decode import RefusedImageError
from src.data.images.files import DecodedImage, load_image, resolve_image_path
from src.errors import ArtifactError
from src.files import atomic_path
from src.machine import map_in_order, n_cores

logger = logging.getLogger(__name__)

PIXELS_FILE, INDEX_FILE = "pixels.bin", "index.npz"


@dataclass(frozen=True)
class StoreIndex(ArrayArtifact):
    """Where each item's image lies in the pixel file.

    ``item_id`` [n] str, ``offset`` [n] (bytes), ``height`` and ``width`` [n] (pixels), int64, and ``sha256`` [n] str of
    the image file. Items with the same image share an offset.
    """

    item_id: np.ndarray
    offset: np.ndarray
    height: np.ndarray
    width: np.ndarray
    sha256: np.ndarray

    def __post_init__(self) -> None:
        """Check that there is one row an item."""
        check_rows(self.item_id, offset=self.offset, height=self.height, width=self.width, sha256=self.sha256)

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
        self._row = {item_id: row for row, item_id in enumerate(index.item_id.tolist())}
        path = directory / PIXELS_FILE
        # Copy on write, since torch takes no read-only memory; nothing ever writes to it.
        self._pixels = np.memmap(path, np.uint8, mode="c") if index.n_bytes else np.empty(0, np.uint8)

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open a store; raises ``ArtifactError`` when a file is missing, damaged, or not as long as the index says."""
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
        """Number of items with an image."""
        return len(self.item_id)

    def __reduce__(self) -> tuple[Any, ...]:
        """Send only the folder to other processes, never the pixels."""
        return ImageStore.open, (self.directory,)

    def rows(self, item_ids: Any) -> np.ndarray:
        """Rows of items, [n] int64; raises ``ArtifactError`` naming ids without an image."""
        unknown = [str(item_id) for item_id in item_ids if item_id not in self._row]
        if unknown:
            shown = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
            raise ArtifactError(
                f"{len(unknown)} item(s) have no image in {self.directory}: {shown}; prepare the dataset again."
            )
        return np.array([self._row[item_id] for item_id in item_ids], dtype=np.int64)

    def read(self, row: int) -> np.ndarray:
        """Pixels of one image, [H, W, 3] uint8: a view of the file, not to be written to."""
        height, width, start = int(self.heights[row]), int(self.widths[row]), int(self._offset[row])
        return np.asarray(self._pixels[start : start + 3 * height * width]).reshape(height, width, 3)


@dataclass
class Contents:
    """What became of the image files.

    Attributes:
        digests: SHA-256 of each usable file, by path.
        refused: Why each other file was refused, by path.
        sizes: Width and height that a file declares, by SHA-256.
        hashes: Difference hash, by SHA-256.
    """

    digests: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    hashes: dict[str, int] = field(default_factory=dict)


def write_store(
    directory: Path, image_paths: Mapping[str, str], cfg: DatasetConfig, num_workers: int | None
) -> Contents:
    """Decode all images and write the store, whole; each file is decoded once and each content stored once.

    Args:
        directory: Folder to write to.
        image_paths: Path below ``cfg.images_dir`` of each item with an image, by item id.
        cfg: Sizes and limits.
        num_workers: Decoding threads (the decoders release the interpreter lock); None: one a core.
    """
    images_dir = Path(cfg.images_dir)
    place: dict[str, tuple[int, int, int]] = {}  # offset, height, width by content
    contents = Contents()
    started, size = time.monotonic(), 0
    paths = sorted(set(image_paths.values()))

    def decode(path: str) -> DecodedImage | str:
        try:
            return load_image(resolve_image_path(images_dir, path), cfg)
        except RefusedImageError as reason:
            return str(reason)

    decoded = tqdm(map_in_order(decode, paths, num_workers or n_cores()), "images", len(paths), disable=None)
    with atomic_path(directory / PIXELS_FILE) as temporary, temporary.open("wb") as stream:
        for path, image in decoded:
            if isinstance(image, str):
                contents.refused[path] = image
                continue
            contents.digests[path] = image.digest
            if image.digest not in place:
                contents.sizes[image.digest] = image.size
                contents.hashes[image.digest] = image.lookalike_hash
                place[image.digest] = (size, *image.pixels.shape[:2])
                size += stream.write(image.pixels.tobytes())
    kept = sorted(item_id for item_id, path in image_paths.items() if path in contents.digests)
    digests = [contents.digests[image_paths[item_id]] for item_id in kept]
    offset, height, width = np.array([place[digest] for digest in digests], dtype=np.int64).reshape(-1, 3).T
    index = StoreIndex(np.array(kept, np.str_), offset, height, width, np.array(digests, np.str_))
    index.save(directory / INDEX_FILE)
    rate = len(paths) / max(time.monotonic() - started, 1e-9)
    logger.info("Stored %d of %d images: %.0f MB, %.0f a second.", len(contents.digests), len(paths), size / 1e6, rate)
    return contents
