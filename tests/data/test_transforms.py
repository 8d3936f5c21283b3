import math

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tvf

from src.config import AugmentationConfig, TabularConfig
from src.data.store import ImageStore, write_store
from src.data.transforms import (
    apply_color,
    center_crop_boxes,
    check_store_size,
    color_augment,
    crop_batch,
    draw_color_factors,
    random_resized_crop_boxes,
)
from src.errors import ConfigError


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
    write_store(folder / "d" / "prepared" / "images", {str(n): f"{n}.png" for n in range(3)}, cfg, 1)
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
    batch = crop_batch(store, np.arange(3), boxes, 16, torch.tensor([False, True, False]))
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
    crop_batch(store, np.array([0]), torch.tensor([[0, 0, 16, 16]]), 16).fill_(0)
    assert (store.read(0) == before).all()


def test_colour_changes_equal_torchvision():
    cfg = AugmentationConfig(brightness=0.4, contrast=0.5, saturation=0.6, hue=0.4, grayscale=0.3)
    images = torch.rand(24, 3, 9, 7, generator=generator())
    images[0, :, :3] = 0.5  # grey, white and black pixels have no hue
    images[0, :, 3], images[0, :, 4] = 1.0, 0.0
    factors = draw_color_factors(24, cfg, generator(3))
    changed = apply_color(images, factors)
    assert 0 < factors.grayscale.sum() < 24
    for i, image in enumerate(images):
        expected = tvf.adjust_brightness(image, factors.brightness[i].item())
        expected = tvf.adjust_contrast(expected, factors.contrast[i].item())
        expected = tvf.adjust_saturation(expected, factors.saturation[i].item())
        expected = tvf.adjust_hue(expected, factors.hue[i].item())
        if factors.grayscale[i]:
            expected = tvf.rgb_to_grayscale(expected, num_output_channels=3)
        torch.testing.assert_close(changed[i], expected, atol=2e-5, rtol=0)


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
    images = torch.rand(4, 3, 5, 5, generator=generator())
    torch.testing.assert_close(color_augment(images, cfg, generator(1)), images)


def test_store_smaller_than_the_crop(store):
    check_store_size(store, image_size=28, eval_crop=0.875)
    with pytest.raises(ConfigError, match=r"at least image_size=29 pixels.*have 32.*dataset=d dataset\.store_size=34"):
        check_store_size(store, image_size=29, eval_crop=0.875)
