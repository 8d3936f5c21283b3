"""Decoding an image file of any kind into RGB, and saying why it cannot be used.

Safe on hostile files: only raster formats are opened, and sizes are checked before pixels are decoded. Needs Pillow and
NumPy alone, since an exported model carries a copy of this file.
"""

import contextlib
import io
import math
from typing import Protocol

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

Image.init()  # registers all formats; without it PIL knows only those it has met
Image.MAX_IMAGE_PIXELS = None  # Limits say how many there may be
ALLOWED = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM")  # none that runs another program
FORMATS = tuple(name for name in ALLOWED if name in Image.OPEN)
PNG, NOTES = b"\x89PNG\r\n\x1a\n", (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
DRAFT_FACTOR = 2  # a JPEG is decoded at the smallest size that still has this many times the wanted pixels


class RefusedImageError(Exception):
    """An image cannot be used; the message is one of the reasons counted in the report."""


class Limits(Protocol):
    """Sizes and limits, such as a dataset's config has."""

    store_size: int
    min_image_side: int
    max_aspect_ratio: float
    max_image_pixels: int


def decode_image(content: bytes, limits: Limits) -> tuple[Image.Image, tuple[int, int]]:
    """Decode a file's content, upright and RGB, for a JPEG perhaps smaller than it is; and the size that it declares.

    Raises ``RefusedImageError``: the file cannot be used; the message says why.
    """
    if not content:
        raise RefusedImageError("file is empty")
    try:
        with Image.open(io.BytesIO(_without_notes(content)), formats=FORMATS) as image:
            upright: Image.Image = image
            size = width, height = image.size
            if width * height > limits.max_image_pixels:
                raise RefusedImageError("image has too many pixels")
            if min(size) < limits.min_image_side:
                raise RefusedImageError("image is too small")
            if image.format == "JPEG":
                image.draft(None, (DRAFT_FACTOR * limits.store_size, DRAFT_FACTOR * limits.store_size))
            image.load()
            with contextlib.suppress(Exception):  # of damaged metadata, which the pixels do without
                upright = ImageOps.exif_transpose(image)
    except RefusedImageError:
        raise
    except UnidentifiedImageError as error:
        raise RefusedImageError("file is not an image of a known format") from error
    except Exception as error:  # decoders raise many kinds on damaged files; the conversion is left out on purpose
        raise RefusedImageError("image is truncated or damaged") from error
    return to_rgb(upright), size


def _without_notes(content: bytes) -> bytes:
    """A PNG without its texts and colour profile, which Pillow refuses to read when they are large; else as it is."""
    kept, place = [content[: len(PNG)]], len(PNG)
    if kept[0] != PNG:
        return content
    while place < len(content):
        end = place + 12 + int.from_bytes(content[place : place + 4])
        kept += [content[place:end]] if content[place + 4 : place + 8] not in NOTES else []
        place = end
    return b"".join(kept)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode into RGB: transparency composited on white, 16 bits scaled to 8.

    Raises ``RefusedImageError``: the pixels have no agreed range (floating point).
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


def fit(image: Image.Image, limits: Limits) -> np.ndarray:
    """Centre-crop to ``max_aspect_ratio`` and resize the short side to ``store_size``, [H, W, 3] uint8."""
    width, height = image.size
    longest = max(1, math.floor(min(width, height) * limits.max_aspect_ratio))
    crop_width, crop_height = min(width, longest), min(height, longest)
    left, top = (width - crop_width) // 2, (height - crop_height) // 2
    scale = limits.store_size / min(crop_width, crop_height)
    size = (max(limits.store_size, round(crop_width * scale)), max(limits.store_size, round(crop_height * scale)))
    box = (left, top, left + crop_width, top + crop_height)
    if size != image.size or box != (0, 0, width, height):
        image = image.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    return np.asarray(image)
