"""Crops and colour changes of whole batches, with all randomness drawn from a passed generator.

Crops have the distribution of torchvision's ``RandomResizedCrop``. Colours change by the factors of ``ColorJitter``,
all at once: one affine map of each image's RGB values, clipped at the end. How many random numbers are drawn depends on
the batch size alone.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from src.config.classifiers import AugmentationConfig

TRIES = 10  # of a random crop, before it falls back to the largest centre crop of an allowed ratio
LUMA = torch.tensor([0.299, 0.587, 0.114])
U, V = 0.492, 0.877  # scales of blue - luma and red - luma in the YUV colour space
CACHED_VALUES = 200_000  # of an image tensor, about what a core's cache holds


def random_resized_crop_boxes(
    heights: Tensor, widths: Tensor, scale: list[float], ratio: list[float], generator: torch.Generator
) -> Tensor:
    """Draw one crop (top, left, height, width) for each image, [B, 4] int64, as ``RandomResizedCrop`` does.

    ``scale`` bounds the area of a crop as share of the image; ``ratio`` its width to height, uniform in the logarithm.
    """
    n_images = len(heights)
    heights, widths = heights.to(torch.int64), widths.to(torch.int64)
    uniform = torch.rand(2, TRIES, n_images, generator=generator, dtype=torch.float64)
    area = (heights * widths) * (scale[0] + (scale[1] - scale[0]) * uniform[0])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = torch.exp(low + (high - low) * uniform[1])
    crop_widths = torch.round(torch.sqrt(area * aspect)).to(torch.int64)
    crop_heights = torch.round(torch.sqrt(area / aspect)).to(torch.int64)
    fits = (crop_widths > 0) & (crop_widths <= widths) & (crop_heights > 0) & (crop_heights <= heights)
    first = fits.to(torch.uint8).argmax(dim=0, keepdim=True)
    crop_height, crop_width = crop_heights.gather(0, first)[0], crop_widths.gather(0, first)[0]

    place = torch.rand(2, n_images, generator=generator, dtype=torch.float64)
    top = (place[0] * (heights - crop_height + 1)).to(torch.int64)
    left = (place[1] * (widths - crop_width + 1)).to(torch.int64)
    drawn = torch.stack([top, left, crop_height, crop_width], dim=1)
    return torch.where(fits.any(dim=0)[:, None], drawn, _central_boxes(heights, widths, ratio))


def _central_boxes(heights: Tensor, widths: Tensor, ratio: list[float]) -> Tensor:
    """The largest centre crops whose width to height lies within ``ratio``, [B, 4] int64."""
    aspect = widths / heights
    crop_width = torch.where(aspect > ratio[1], torch.round(heights * ratio[1]).to(torch.int64), widths)
    crop_height = torch.where(aspect < ratio[0], torch.round(widths / ratio[0]).to(torch.int64), heights)
    return torch.stack([(heights - crop_height) // 2, (widths - crop_width) // 2, crop_height, crop_width], dim=1)


def center_crop_boxes(heights: Tensor, widths: Tensor, share: float) -> Tensor:
    """Square centre crops whose side is ``share`` of the short side: top, left, height, width, [B, 4] int64."""
    heights, widths = heights.to(torch.int64), widths.to(torch.int64)
    side = torch.round(torch.minimum(heights, widths) * share).to(torch.int64).clamp(min=1)
    return torch.stack([(heights - side) // 2, (widths - side) // 2, side, side], dim=1)


def crop_batch(
    read: Callable[[int], np.ndarray], rows: np.ndarray, boxes: Tensor, size: int, flip: Tensor | None = None
) -> Tensor:
    """Crop images and resize the crops, antialiased, to [B, 3, size, size] uint8.

    Args:
        read: The pixels of an image by its row, [H, W, 3] uint8.
        rows: Their rows, [B].
        boxes: Top, left, height, width of each crop, [B, 4]; they must lie within the images.
        size: Side of the result, pixels.
        flip: Which images to mirror left to right, [B] bool; None: none.
    """
    batch = torch.empty((len(rows), 3, size, size), dtype=torch.uint8)
    mirrored = [False] * len(rows) if flip is None else flip.tolist()
    for place, (row, (top, left, height, width)) in enumerate(zip(rows.tolist(), boxes.tolist(), strict=True)):
        crop = torch.from_numpy(read(row)[top : top + height, left : left + width])
        image = crop.permute(2, 0, 1)[None]  # a channels-last view of the mapped file
        if (height, width) != (size, size):
            image = functional.interpolate(image, (size, size), mode="bilinear", antialias=True)
        batch[place] = image[0].flip(-1) if mirrored[place] else image[0]
    return batch


class ColorFactors(NamedTuple):
    """What to change in each image, [B] each; ``grayscale`` is bool, ``hue`` in turns, the others are factors."""

    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    grayscale: Tensor


def draw_color_factors(n_images: int, cfg: AugmentationConfig, generator: torch.Generator) -> ColorFactors:
    """Draw the factors of a batch as torchvision's ``ColorJitter`` does, uniformly; a greyscale image by chance."""
    uniform = torch.rand(5, n_images, generator=generator, device=generator.device)

    spread = torch.tensor([cfg.brightness, cfg.contrast, cfg.saturation], device=generator.device)[:, None]
    low = (1.0 - spread).clamp(min=0.0)
    brightness, contrast, saturation = low + (1.0 + spread - low) * uniform[:3]
    hue, grayscale = (2.0 * uniform[3] - 1.0) * cfg.hue, uniform[4] < cfg.grayscale
    return ColorFactors(brightness, contrast, saturation, hue, grayscale)


def color_augment(images: Tensor, cfg: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """Change the colours of each image of a batch by its own random factors; see ``apply_color``."""
    with torch.autocast(images.device.type, enabled=False):
        return apply_color(images, draw_color_factors(len(images), cfg, generator))


def apply_color(images: Tensor, factors: ColorFactors) -> Tensor:
    """Change brightness, contrast, saturation, hue and greyscale, in this order, clipped once at the end.

    Where nothing is clipped, all but the hue equal torchvision's functions. The hue is rotated about the grey axis at
    constant luminance, not at constant value of HSV: linear, so the five steps are one 3 x 3 matrix and an offset.

    ``images`` are RGB, [B, 3, H, W] uint8; the result is float in 0 to 1.
    """
    device = images.device
    matrices = _color_matrices(factors).div_(255).to(device)
    mean_weight = (LUMA * (factors.brightness * (1.0 - factors.contrast))[:, None]).div_(255).to(device)
    changed = torch.empty(images.shape, device=device)
    # On the CPU a few images at a time, so that what each step reads still lies in the cache.
    n_images = len(images) if device.type != "cpu" else max(1, CACHED_VALUES // max(1, images[:1].numel()))
    for start in range(0, len(images), n_images):
        chunk = slice(start, start + n_images)
        pixels = images[chunk].flatten(2).float()
        offset = (pixels.mean(dim=2) * mean_weight[chunk]).sum(dim=1)[:, None, None]
        torch.baddbmm(offset, matrices[chunk], pixels, out=changed[chunk].flatten(2)).clamp_(0.0, 1.0)
    return changed


def _color_matrices(factors: ColorFactors) -> Tensor:
    """What the changes do to an RGB value, but for the offset of contrast, [B, 3, 3]."""
    identity, gray = torch.eye(3), LUMA.expand(3, 3)
    to_yuv = torch.stack([LUMA, U * (identity[2] - LUMA), V * (identity[0] - LUMA)])
    angle = 2 * math.pi * factors.hue
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    turn = torch.stack([one, zero, zero, zero, cos, -sin, zero, sin, cos], dim=1).view(-1, 3, 3)
    hue = torch.linalg.inv(to_yuv) @ turn @ to_yuv
    saturation = factors.saturation[:, None, None]
    matrices = hue @ (saturation * identity + (1.0 - saturation) * gray)
    matrices = torch.where(factors.grayscale[:, None, None], gray, matrices)
    return matrices * (factors.brightness * factors.contrast)[:, None, None]
