import colorsys
import math

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tvf

from src.config.classifiers import AugmentationConfig
from src.config.datasets import TabularConfig
from src.data.images.store import ImageStore, write_store
from src.data.images.transforms import (
    ColorFactors,
    apply_color,
    center_crop_boxes,
    color_augment,
    crop_batch,
    draw_color_factors,
    random_resized_crop_boxes,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def smooth_image(height, width, seed):
    """An image without sharp edges, so that resampling methods may be compared."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transforms")
    sizes = [(32, 48), (40, 32), (32, 32)]
    for number, (height, width) in enumerate(sizes):
        smooth_image(height, width, number).save(folder / f"{number}.png")
    cfg = TabularConfig(name="x", raw_dir=str(folder), images_dir=str(folder), store_size=32)
    images = pd.DataFrame({"item_id": ["0", "1", "2"], "path": ["0.png", "1.png", "2.png"]})
    write_store(folder / "d" / "prepared" / "images", images, cfg, 1)
    return ImageStore.open(folder / "d" / "prepared" / "images")


def test_crop_distribution_is_torchvisions():
    n, height, width, scale, ratio = 4000, 48, 72, [0.08, 1.0], [0.75, 1.3333]
    ours = random_resized_crop_boxes(torch.full((n,), height), torch.full((n,), width), scale, ratio, generator())
    torch.manual_seed(1)
    image = torch.empty(3, height, width)
    theirs = torch.tensor([_params(image, scale, ratio) for _ in range(n)])
    for column in range(4):
        a, b = ours[:, column].sort().values, theirs[:, column].sort().values
        grid = torch.arange(0, 73)
        distance = (torch.searchsorted(a, grid, right=True) - torch.searchsorted(b, grid, right=True)).abs().max() / n
        assert distance < 1.95 * math.sqrt(2 / n)  # Kolmogorov-Smirnov, p = 0.001
    area = (ours[:, 2] * ours[:, 3]).double().mean(), (theirs[:, 2] * theirs[:, 3]).double().mean()
    assert area[0] == pytest.approx(area[1].item(), rel=0.04)


def _params(image, scale, ratio):
    params = v2.RandomResizedCrop(8, scale, ratio).make_params([image])
    return [params["top"], params["left"], params["height"], params["width"]]


def test_crops_lie_within_images_of_many_sizes():
    heights, widths = torch.tensor([8, 8, 64, 33] * 500), torch.tensor([8, 31, 16, 32] * 500)
    boxes = random_resized_crop_boxes(heights, widths, [0.08, 1.0], [0.75, 1.3333], generator(2))
    assert (boxes >= torch.tensor([0, 0, 1, 1])).all()
    assert (boxes[:, 0] + boxes[:, 2] <= heights).all()
    assert (boxes[:, 1] + boxes[:, 3] <= widths).all()


def test_impossible_crops_fall_back_to_the_centre_as_torchvisions():
    cases = [(10, 100), (100, 10), (20, 20)]
    heights, widths = torch.tensor([h for h, _ in cases]), torch.tensor([w for _, w in cases])
    boxes = random_resized_crop_boxes(heights, widths, [4.0, 4.0], [0.75, 1.3333], generator())  # area 4 never fits
    theirs = [_params(torch.empty(3, h, w), [4.0, 4.0], [0.75, 1.3333]) for h, w in cases]
    assert boxes.tolist() == theirs


def test_same_generator_same_crops():
    heights = widths = torch.full((20,), 32)
    draw = [random_resized_crop_boxes(heights, widths, [0.1, 1.0], [0.7, 1.4], generator(s)) for s in (5, 5, 6)]
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])


def test_center_crops_by_hand():
    boxes = center_crop_boxes(torch.tensor([100, 64]), torch.tensor([200, 64]), 0.875)
    assert boxes.tolist() == [[6, 56, 88, 88], [4, 4, 56, 56]]  # round(87.5) = 88


def test_crop_batch_equals_torchvision(store):
    boxes = torch.tensor([[2, 5, 28, 40], [0, 0, 40, 32], [8, 8, 16, 16]])
    batch = crop_batch(store.read, np.arange(3), boxes, 16, torch.tensor([False, True, False]))
    assert batch.shape == (3, 3, 16, 16)
    assert batch.dtype == torch.uint8
    for row, (top, left, height, width) in enumerate(boxes.tolist()):
        image = torch.tensor(store.read(row)).permute(2, 0, 1)
        expected = tvf.resized_crop(image, top, left, height, width, [16, 16], antialias=True)
        expected = expected.flip(-1) if row == 1 else expected
        assert (batch[row].int() - expected.int()).abs().max() <= 1
        in_pil = tvf.resized_crop(Image.fromarray(store.read(row)), top, left, height, width, [16, 16])
        in_pil = tvf.pil_to_tensor(in_pil).flip(-1) if row == 1 else tvf.pil_to_tensor(in_pil)
        assert (batch[row].int() - in_pil.int()).abs().max() <= 2
    assert torch.equal(batch[2], torch.tensor(store.read(2)).permute(2, 0, 1)[:, 8:24, 8:24])  # no resize: exact


def test_crop_batch_writes_nothing_to_the_store(store):
    before = store.read(0).copy()
    crop_batch(store.read, np.array([0]), torch.tensor([[0, 0, 16, 16]]), 16).fill_(0)
    assert (store.read(0) == before).all()


def smooth_images(n):
    return torch.stack([tvf.pil_to_tensor(smooth_image(24, 24, seed)) for seed in range(n)])


def torchvision_color(images, factors):
    """Step by step, clipped after each."""
    changed = []
    for i, image in enumerate(images.float() / 255):
        image = tvf.adjust_brightness(image, factors.brightness[i].item())
        image = tvf.adjust_contrast(image, factors.contrast[i].item())
        image = tvf.adjust_saturation(image, factors.saturation[i].item())
        image = tvf.adjust_hue(image, factors.hue[i].item())
        changed.append(tvf.rgb_to_grayscale(image, 3) if factors.grayscale[i] else image)
    return torch.stack(changed)


def test_colour_changes_but_the_hue_equal_torchvision_where_nothing_is_clipped():
    cfg = AugmentationConfig(brightness=0.2, contrast=0.3, saturation=0.4, hue=0, grayscale=0.3)
    images = 80 + smooth_images(24) // 4  # of middling colours
    factors = draw_color_factors(24, cfg, generator(3))
    assert 0 < factors.grayscale.sum() < 24
    changed = apply_color(images, factors)
    assert changed.min() > 0
    assert changed.max() < 1
    torch.testing.assert_close(changed, torchvision_color(images, factors), atol=3e-4, rtol=0)  # luma .2989 or .299


def test_clipped_colours_are_near_torchvisions():
    cfg = AugmentationConfig(hue=0, grayscale=0)
    images, factors = smooth_images(40), draw_color_factors(40, cfg, generator(3))
    difference = (apply_color(images, factors) - torchvision_color(images, factors)).abs()
    assert difference.mean() < 1e-3
    assert difference.max() < 0.1


def test_the_default_colour_changes_have_the_size_of_torchvisions():
    images, factors = smooth_images(200), draw_color_factors(200, AugmentationConfig(grayscale=0), generator(3))
    before = images.float() / 255
    ours, theirs = apply_color(images, factors), torchvision_color(images, factors)
    for statistic in (lambda x: x.mean(dim=(2, 3)), lambda x: x.std(dim=(2, 3))):
        assert (statistic(ours).mean(dim=0) - statistic(theirs).mean(dim=0)).abs().max() < 0.02
    changes = [(changed - before).flatten() for changed in (ours, theirs)]
    assert changes[0].abs().mean() == pytest.approx(changes[1].abs().mean().item(), rel=0.1)
    assert torch.corrcoef(torch.stack(changes))[0, 1] > 0.7  # hues turn at constant luminance, not HSV value


@pytest.mark.parametrize("turns", [-0.1, 0.05, 0.1])
def test_hue_turns_as_in_hsv_and_keeps_grey_and_luminance(turns):
    one, none = torch.ones(1), torch.zeros(1, dtype=torch.bool)
    image = torch.tensor([[150, 100, 90], [100, 150, 90], [90, 100, 150], [120, 120, 120]], dtype=torch.uint8)
    changed = apply_color(image.T[None, :, :, None], ColorFactors(one, one, one, turns * one, none))[0, :, :, 0].T
    luma = torch.tensor([0.299, 0.587, 0.114])
    torch.testing.assert_close(changed @ luma, image.float() @ luma / 255, atol=1e-6, rtol=0)
    torch.testing.assert_close(changed[3], image[3] / 255, atol=1e-6, rtol=0)
    for before, after in zip(image[:3].tolist(), changed[:3].tolist(), strict=True):
        turned = (colorsys.rgb_to_hsv(*after)[0] - colorsys.rgb_to_hsv(*before)[0] + 0.5) % 1 - 0.5
        assert turned == pytest.approx(turns, abs=0.05)


def test_colour_factors_have_the_ranges_of_colorjitter():
    cfg = AugmentationConfig(brightness=0.1, contrast=0.2, saturation=1.5, hue=0.1, grayscale=0.25)
    factors = draw_color_factors(20_000, cfg, generator())
    for values, low, high in [
        (factors.brightness, 0.9, 1.1),
        (factors.contrast, 0.8, 1.2),
        (factors.saturation, 0.0, 2.5),
        (factors.hue, -0.1, 0.1),
    ]:
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.02 * (high - low))
    assert factors.grayscale.float().mean() == pytest.approx(0.25, abs=0.02)


def test_no_colour_change_is_identity():
    cfg = AugmentationConfig(brightness=0, contrast=0, saturation=0, hue=0, grayscale=0)
    images = torch.randint(0, 256, (4, 3, 5, 5), dtype=torch.uint8, generator=generator())
    torch.testing.assert_close(color_augment(images, cfg, generator(1)), images / 255)


def test_colours_change_in_full_precision_under_mixed_precision():
    images = smooth_images(3)
    expected = color_augment(images, AugmentationConfig(), generator(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(color_augment(images, AugmentationConfig(), generator(1)), expected)


def test_colours_change_alike_alone_and_in_a_batch(monkeypatch):
    images, factors = smooth_images(5), draw_color_factors(5, AugmentationConfig(), generator(1))
    together = apply_color(images, factors)
    monkeypatch.setattr("src.data.images.transforms.CACHED_VALUES", 1)
    torch.testing.assert_close(apply_color(images, factors), together)
