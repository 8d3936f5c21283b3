"""A dataset's image files: found without leaving ``images_dir``, decoded, and resized for the store."""

import hashlib
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from src.config.datasets import DatasetConfig
from src.data.images.decode import RefusedImageError, decode_image, fit
from src.data.images.duplicates import difference_hash


class DecodedImage(NamedTuple):
    """An image as it is stored, and what its file was like.

    Attributes:
        pixels: [H, W, 3] uint8.
        digest: SHA-256 of the file.
        size: Width and height that the file declares.
        lookalike_hash: Difference hash, close in bits for images that look alike.
    """

    pixels: np.ndarray
    digest: str
    size: tuple[int, int]
    lookalike_hash: int


def resolve_image_path(images_dir: Path, image_path: str) -> Path:
    """Find an image by its path, from ``images_dir`` or absolute.

    Raises:
        RefusedImageError: The path leaves ``images_dir`` or leads nowhere.
    """
    if image_path.startswith(("http://", "https://")):
        raise RefusedImageError("is a web address: download the images first")
    if "\0" in image_path:
        raise RefusedImageError("path holds a NUL character")
    relative = PurePosixPath(image_path.replace("\\", "/"))
    if ".." in relative.parts:
        raise RefusedImageError("path leaves images_dir")
    path = images_dir / relative
    try:
        if not path.resolve().is_relative_to(images_dir.resolve()):
            raise RefusedImageError("path leaves images_dir")
        if not path.is_file():
            raise RefusedImageError("file is missing")
    except (OSError, RuntimeError, ValueError) as error:  # name too long, loop of links, no permission
        raise RefusedImageError("path cannot be followed") from error
    return path


def load_image(path: Path, cfg: DatasetConfig) -> DecodedImage:
    """Read, decode, crop to the largest allowed aspect ratio, and resize to the store's size.

    Returns:
        RGB pixels whose short side is ``cfg.store_size``.

    Raises:
        RefusedImageError: The file cannot be used; the message says why.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RefusedImageError("file cannot be read") from error
    rgb, size = decode_image(content, cfg)
    return DecodedImage(fit(rgb, cfg), hashlib.sha256(content).hexdigest(), size, difference_hash(rgb))
