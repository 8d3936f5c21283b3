"""Crops and colour changes of whole batches, with all randomness drawn from a passed generator.

The distributions are those of torchvision's ``RandomResizedCrop`` and ``ColorJitter``. How many random numbers are
drawn depends on the batch size alone.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from src.config import AugmentationConfig
from src.data.store import ImageStore
from src.errors import ConfigError

TRIES = 10  # of a random crop, before it falls back to the largest centre crop of an allowed ratio
LUMA = (0.2989, 0.587, 0.114)  # torchvision's weights
TINY = 1e-20
CACHED_VALUES = 65_536  # of an image tensor, about what a core's cache holds along with intermediate results


def check_store_size(store: ImageStore, image_size: int, eval_crop: float) -> None:
    """Raise ``ConfigError`` if the evaluation crop of the stored images has fewer pixels than the network takes."""
    if eval_crop * store.short_side < image_size:
        needed = math.ceil(image_size / eval_crop)
        name = store.directory.parent.parent.name
        raise ConfigError(
            f"The evaluation crop ({eval_crop} of the short side) should have at least image_size={image_size} pixels, "
            f"but the stored images have {store.short_side}. Lower image_size, or store larger images: "
            f"python main_prepare_dataset.py dataset={name} dataset.store_size={needed}"
        )


def random_resized_crop_boxes(
    heights: Tensor, widths: Tensor, scale: list[float], ratio: list[float], generator: torch.Generator
) -> Tensor:
    """Draw one crop for each image, as torchvision's ``RandomResizedCrop`` does.

    Args:
        heights: Image heights, [B] pixels.
        widths: Image widths, [B] pixels.
        scale: Least and largest area of a crop, as share of the image.
        ratio: Least and largest width to height; drawn uniformly in its logarithm.
        generator: Sole source of randomness, on the CPU.

    Returns:
        Top, left, height and width, [B, 4] int64.
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
    top = torch.div(heights - crop_height, 2, rounding_mode="floor")
    left = torch.div(widths - crop_width, 2, rounding_mode="floor")
    return torch.stack([top, left, crop_height, crop_width], dim=1)


def center_crop_boxes(heights: Tensor, widths: Tensor, share: float) -> Tensor:
    """Square centre crops whose side is ``share`` of the short side: top, left, height, width, [B, 4] int64."""
    heights, widths = heights.to(torch.int64), widths.to(torch.int64)
    side = torch.round(torch.minimum(heights, widths) * share).to(torch.int64).clamp(min=1)
    top = torch.div(heights - side, 2, rounding_mode="floor")
    left = torch.div(widths - side, 2, rounding_mode="floor")
    return torch.stack([top, left, side, side], dim=1)


def crop_batch(store: ImageStore, rows: np.ndarray, boxes: Tensor, size: int, flip: Tensor | None = None) -> Tensor:
    """Crop stored images and resize the crops, antialiased.

    Args:
        store: The images.
        rows: Rows of the store, [B].
        boxes: Top, left, height, width of each crop, [B, 4]; they must lie within the images.
        size: Side of the result, pixels.
        flip: Which images to mirror left to right, [B] bool; None: none.

    Returns:
        RGB images, [B, 3, size, size] uint8.
    """
    batch = torch.empty((len(rows), 3, size, size), dtype=torch.uint8)  # planes: colour changes are faster
    for place, (row, (top, left, height, width)) in enumerate(zip(rows.tolist(), boxes.tolist(), strict=True)):
        crop = torch.from_numpy(store.read(row)[top : top + height, left : left + width])
        image = crop.permute(2, 0, 1)[None]  # a channels-last view of the mapped file
        if (height, width) != (size, size):
            image = functional.interpolate(image, (size, size), mode="bilinear", antialias=True)
        batch[place] = image[0]
    if flip is not None:
        batch[flip] = batch[flip].flip(-1)
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

    def factor(row: int, spread: float) -> Tensor:
        low = max(0.0, 1.0 - spread)
        return low + (1.0 + spread - low) * uniform[row]

    return ColorFactors(
        factor(0, cfg.brightness),
        factor(1, cfg.contrast),
        factor(2, cfg.saturation),
        (2.0 * uniform[3] - 1.0) * cfg.hue,
        uniform[4] < cfg.grayscale,
    )


def apply_color(images: Tensor, factors: ColorFactors) -> Tensor:
    """Change brightness, contrast, saturation, hue and greyscale, in this fixed order.

    On the CPU a few images at a time, so that what each step reads still lies in the cache.

    Args:
        images: RGB, [B, 3, H, W] float in 0 to 1.
        factors: One value an image for each change.

    Returns:
        The changed images, same shape and range; each step equals torchvision's function of that name.
    """
    factors = ColorFactors(*(values.to(images.device)[:, None, None, None] for values in factors))
    n_images = len(images) if images.device.type != "cpu" else max(1, CACHED_VALUES // max(1, images[:1].numel()))
    changed = torch.empty_like(images)
    for start in range(0, len(images), n_images):
        chunk = slice(start, start + n_images)
        changed[chunk] = _apply_to_chunk(images[chunk], ColorFactors(*(values[chunk] for values in factors)))
    return changed


def _apply_to_chunk(images: Tensor, factors: ColorFactors) -> Tensor:
    images = (images * factors.brightness).clamp_(0.0, 1.0)
    mean = _gray(images).mean(dim=(1, 2, 3), keepdim=True)
    images.mul_(factors.contrast).add_(mean * (1.0 - factors.contrast)).clamp_(0.0, 1.0)
    gray = _gray(images)
    images.mul_(factors.saturation).add_(gray.mul_(1.0 - factors.saturation)).clamp_(0.0, 1.0)
    if bool(factors.hue.any()):
        images = _shift_hue(images, factors.hue)
    if bool(factors.grayscale.any()):
        chosen = factors.grayscale.flatten()
        images[chosen] = _gray(images[chosen]).expand(-1, 3, -1, -1)
    return images


def color_augment(images: Tensor, cfg: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """Change the colours of a batch, [B, 3, H, W] float in 0 to 1, by its own random factors for each image."""
    return apply_color(images, draw_color_factors(len(images), cfg, generator))


def _gray(images: Tensor) -> Tensor:
    """Luminance, [B, 1, H, W]."""
    red, green, blue = images.unbind(dim=1)
    return (LUMA[0] * red).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2]).unsqueeze(1)


def _shift_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Rotate the hue by ``turns`` [B, 1, 1, 1] of the HSV circle; value and saturation stay.

    Written without case distinctions, which are slow on a CPU. With V, m and C = V - m the largest and smallest channel
    and their difference, the hue in turns is +-((g + b - r - m) / C + 1) / 6 with the sign of g - b: on the half circle
    from red over green to cyan this is g, then 2 - r, then 2 + b for C = 1, m = 0, and the other half mirrors it.
    Backwards, a channel is V - C * clamp(2 - 6 a, 0, 1), a being the distance in turns of the hue from that channel's
    opposite.
    """
    red, green, blue = images.unbind(dim=1)
    value = torch.maximum(torch.maximum(red, green), blue)
    smallest = torch.minimum(torch.minimum(red, green), blue)
    chroma6 = (value - smallest).mul_(6.0)
    size = (green + blue).sub_(red).sub_(smallest).div_(chroma6.clamp_min(TINY)).add_(1 / 6)
    hue = torch.copysign(size, green - blue).add_(turns[:, 0])  # that of a grey pixel does not matter: its C is 0
    away = hue.unsqueeze(1) + torch.tensor([3 / 6, 1 / 6, -1 / 6], device=images.device)[:, None, None]
    away.sub_(away.round()).abs_().clamp_(1 / 6, 2 / 6)
    lowest = torch.sub(value, chroma6, alpha=2 / 6)
    return away.mul_(chroma6.unsqueeze(1)).add_(lowest.unsqueeze(1))
