"""Decoding images of any kind into RGB, and saying why one cannot be used.

Every function is safe on hostile files: only raster formats are opened, sizes are checked before pixels are decoded,
and no path leaves ``images_dir``.
"""

import hashlib
import io
import math
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from src.config import DatasetConfig
from src.data.duplicates import difference_hash

Image.init()  # registers all formats; without it PIL knows only those it has met
ALLOWED = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM")  # none that runs another program
FORMATS = tuple(name for name in ALLOWED if name in Image.OPEN)
DRAFT_FACTOR = 2  # a JPEG is decoded at the smallest size that still has this many times the wanted pixels


class RefusedImageError(Exception):
    """An image cannot be used; the message is one of the reasons counted in the report."""


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
    """Find an image below ``images_dir``; raises ``RefusedImageError`` when the path leaves it or leads nowhere."""
    if image_path.startswith(("http://", "https://")):
        raise RefusedImageError("is a web address: download the images first")
    if "\0" in image_path:
        raise RefusedImageError("path holds a NUL character")
    relative = PurePosixPath(image_path.replace("\\", "/"))
    if relative.is_absolute() or ".." in relative.parts or Path(image_path).is_absolute():
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
    if not content:
        raise RefusedImageError("file is empty")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            size = image.size
            check_size(size, cfg)
            if image.format == "JPEG":
                image.draft(None, (DRAFT_FACTOR * cfg.store_size, DRAFT_FACTOR * cfg.store_size))
            upright = ImageOps.exif_transpose(image)  # decodes
    except RefusedImageError:
        raise
    except UnidentifiedImageError as error:
        raise RefusedImageError("file is not an image of a known format") from error
    except Image.DecompressionBombError as error:
        raise RefusedImageError("image has too many pixels") from error
    except Exception as error:  # decoders raise many kinds on damaged files; the conversion is left out on purpose
        raise RefusedImageError("image is truncated or damaged") from error
    rgb = to_rgb(upright)
    return DecodedImage(fit(rgb, cfg), hashlib.sha256(content).hexdigest(), size, difference_hash(rgb))


def check_size(size: tuple[int, int], cfg: DatasetConfig) -> None:
    """Refuse by the size that the file declares, before anything is decoded."""
    width, height = size
    if width * height > cfg.max_image_pixels:
        raise RefusedImageError("image has too many pixels")
    if min(width, height) < cfg.min_image_side:
        raise RefusedImageError("image is too small")


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode into RGB: transparency composited on white, 16 bits scaled to 8.

    Raises:
        RefusedImageError: The pixels have no agreed range (floating point).
    """
    if image.mode == "F":
        raise RefusedImageError("pixels are floating-point numbers")
    if image.mode.startswith("I"):
        levels = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def fit(image: Image.Image, cfg: DatasetConfig) -> np.ndarray:
    """Centre-crop to ``max_aspect_ratio`` and resize the short side to ``store_size``, [H, W, 3] uint8."""
    width, height = image.size
    longest = max(1, math.floor(min(width, height) * cfg.max_aspect_ratio))
    crop_width, crop_height = min(width, longest), min(height, longest)
    left, top = (width - crop_width) // 2, (height - crop_height) // 2
    scale = cfg.store_size / min(crop_width, crop_height)
    size = (max(cfg.store_size, round(crop_width * scale)), max(cfg.store_size, round(crop_height * scale)))
    box = (left, top, left + crop_width, top + crop_height)
    if size != image.size or box != (0, 0, width, height):
        image = image.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    return np.asarray(image)
