import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from src.config.datasets import TabularConfig
from src.data.images.decode import RefusedImageError
from src.data.images.folder import LocalImages
from src.data.images.store import load_image


@pytest.fixture
def cfg(tmp_path):
    return TabularConfig(name="x", raw_dir=str(tmp_path), images_dir=str(tmp_path), store_size=16)


def pixels_of(image, tmp_path, cfg, suffix="png", **options):
    path = tmp_path / f"image.{suffix}"
    image.save(path, **options)
    return load_image(path, cfg).pixels


def reason(path, cfg):
    with pytest.raises(RefusedImageError) as refusal:
        load_image(path, cfg)
    return str(refusal.value)


def solid(mode, colour, size=(16, 16)):
    return Image.new(mode, size, colour)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (solid("RGB", (10, 20, 30)), (10, 20, 30)),
        (solid("RGBA", (200, 0, 0, 0)), (255, 255, 255)),
        (solid("RGBA", (200, 0, 100, 255)), (200, 0, 100)),
        (solid("RGBA", (0, 0, 0, 51)), (204, 204, 204)),  # 0.2 black on white
        (solid("L", 77), (77, 77, 77)),
        (solid("LA", (0, 0)), (255, 255, 255)),
        (solid("1", 1), (255, 255, 255)),
        (Image.fromarray(np.full((16, 16), 65535, np.uint16)), (255, 255, 255)),
        (Image.fromarray(np.full((16, 16), 25700, np.uint16)), (100, 100, 100)),
        (Image.fromarray(np.full((16, 16), 128, np.uint16)), (0, 0, 0)),
        (Image.fromarray(np.full((16, 16), 129, np.uint16)), (1, 1, 1)),
    ],
)
def test_modes_of_png(image, expected, tmp_path, cfg):
    pixels = pixels_of(image, tmp_path, cfg)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (16, 16, 3)
    assert (pixels == expected).all()


def test_palette_with_transparent_entry(tmp_path, cfg):
    image = Image.new("P", (16, 16), 0)
    image.putpalette([9, 8, 7, 50, 60, 70])
    image.paste(1, (8, 0, 16, 16))
    assert (pixels_of(image, tmp_path, cfg)[0, [0, 15]] == [[9, 8, 7], [50, 60, 70]]).all()
    assert (pixels_of(image, tmp_path, cfg, transparency=0)[0, [0, 15]] == [[255, 255, 255], [50, 60, 70]]).all()


def test_cmyk_jpeg(tmp_path, cfg):
    pixels = pixels_of(solid("CMYK", (0, 255, 255, 0)), tmp_path, cfg, suffix="jpg", quality=100)
    assert np.abs(pixels.astype(int) - [255, 0, 0]).max() <= 3


def test_exif_rotation(tmp_path, cfg):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16, 0] = 255  # red on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: left becomes top
    turned = pixels_of(Image.fromarray(pixels), tmp_path, cfg, exif=exif)
    assert turned.shape == (32, 16, 3)
    assert (turned[:16, :, 0] == 255).all()
    assert (turned[16:] == 0).all()


def test_short_side_becomes_the_store_size(tmp_path, cfg):
    assert pixels_of(solid("RGB", 0, (64, 32)), tmp_path, cfg).shape == (16, 32, 3)
    assert pixels_of(solid("RGB", 0, (8, 12)), tmp_path, cfg).shape == (24, 16, 3)


def test_long_images_are_cropped_at_the_centre(tmp_path, cfg):
    pixels = np.zeros((16, 128, 3), np.uint8)
    pixels[:, 32:96] = 200  # the centre 4:1
    assert (pixels_of(Image.fromarray(pixels), tmp_path, cfg) == np.full((16, 64, 3), 200)).all()


def test_large_jpeg_is_decoded_reduced_but_alike(tmp_path, cfg):
    ramp = np.linspace(0, 255, 512).astype(np.uint8)
    image = Image.fromarray(np.stack([np.tile(ramp, (512, 1))] * 3, axis=-1))
    reduced = pixels_of(image, tmp_path, cfg, suffix="jpg", quality=95)
    full = np.asarray(image.resize((16, 16), Image.Resampling.LANCZOS))
    assert np.abs(reduced.astype(int) - full).max() <= 4


def test_thin_image_is_refused(tmp_path, cfg):
    solid("RGB", 0, (1, 500)).save(tmp_path / "thin.png")
    assert reason(tmp_path / "thin.png", cfg) == "image is too small"
    cfg.min_image_side = 1
    assert load_image(tmp_path / "thin.png", cfg).pixels.shape == (64, 16, 3)


def test_empty_truncated_and_foreign_files(tmp_path, cfg):
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(stream, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(stream.getvalue()[:-900])
    (tmp_path / "head.jpg").write_bytes(stream.getvalue()[:30])
    (tmp_path / "script.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n")
    assert reason(tmp_path / "empty.jpg", cfg) == "file is empty"
    assert reason(tmp_path / "page.jpg", cfg) == "file is not an image of a known format"
    assert reason(tmp_path / "cut.jpg", cfg) == "image is truncated or damaged"
    assert reason(tmp_path / "head.jpg", cfg) in {
        "image is truncated or damaged",
        "file is not an image of a known format",
    }
    assert reason(tmp_path / "script.eps", cfg) == "file is not an image of a known format"


@pytest.mark.parametrize("side", [20_000, 60_000])  # beyond our limit, and beyond PIL's own
def test_bomb_is_refused_by_its_declared_size(side, tmp_path, cfg):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(bomb)
    assert reason(tmp_path / "bomb.png", cfg) == "image has too many pixels"


def with_chunk(kind, content):
    stream = io.BytesIO()
    solid("RGB", (10, 20, 30), (40, 32)).save(stream, "PNG")
    png = stream.getvalue()
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return png[:33] + chunk + png[33:]  # after the header


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (b"eXIf", b"MM\0*\0\0\0\x08\xff\xff"),
        (b"eXIf", b"no exif"),
        (b"tEXt", b"note\0" + b"x" * 3_000_000),
        (b"zTXt", b"note\0\0" + zlib.compress(b"x" * 3_000_000)),
        (b"iTXt", b"note\0\1\0\0\0" + zlib.compress(b"x" * 3_000_000)),
        (b"iCCP", b"p\0\0" + zlib.compress(b"x" * 3_000_000)),
    ],
)
def test_png_with_damaged_or_large_metadata_is_read(kind, content, tmp_path, cfg):
    (tmp_path / "a.png").write_bytes(with_chunk(kind, content))
    assert load_image(tmp_path / "a.png", cfg).pixels[0, 0].tolist() == [10, 20, 30]


@pytest.mark.slow
def test_our_limit_of_pixels_holds_and_not_pillows(tmp_path, cfg, recwarn):
    solid("L", 7, (20_000, 10_000)).save(tmp_path / "large.png")
    assert reason(tmp_path / "large.png", cfg) == "image has too many pixels"
    cfg.max_image_pixels = 200_000_000
    assert load_image(tmp_path / "large.png", cfg).pixels[0, 0].tolist() == [7, 7, 7]
    assert not recwarn.list


def test_floating_point_pixels_are_refused(tmp_path, cfg):
    Image.fromarray(np.zeros((16, 16), np.float32)).save(tmp_path / "f.tiff")
    assert reason(tmp_path / "f.tiff", cfg) == "pixels are floating-point numbers"


def refusal(images_dir, path):
    with pytest.raises(RefusedImageError) as found:
        LocalImages(images_dir).resolve(path)
    return str(found.value)


def test_paths_never_leave_the_folder(tmp_path):
    images_dir = tmp_path / "images"
    (images_dir / "sub").mkdir(parents=True)
    outside = tmp_path / "secret.png"
    solid("RGB", 0).save(outside)
    solid("RGB", 0).save(images_dir / "sub" / "a.png")
    (images_dir / "link.png").symlink_to(outside)
    (images_dir / "loop.png").symlink_to(images_dir / "loop.png")
    (images_dir / "inside.png").symlink_to(images_dir / "sub" / "a.png")
    os.mkfifo(images_dir / "pipe.png")

    assert LocalImages(images_dir).resolve("sub/a.png") == images_dir / "sub" / "a.png"
    assert LocalImages(images_dir).resolve("inside.png").is_file()
    assert refusal(images_dir, "../secret.png") == "path leaves images_dir"
    assert refusal(images_dir, "sub/../../secret.png") == "path leaves images_dir"
    assert refusal(images_dir, "..\\secret.png") == "path leaves images_dir"
    assert refusal(images_dir, str(outside)) == "path leaves images_dir"
    assert refusal(images_dir, "link.png") == "path leaves images_dir"
    assert refusal(images_dir, "a\0.png") == "path holds a NUL character"
    assert refusal(images_dir, "gone.png") == "file is missing"
    assert refusal(images_dir, "sub") == "file is missing"
    assert refusal(images_dir, "pipe.png") == "file is missing"
    assert refusal(images_dir, "https://example.org/a.png") == "is a web address: download the images first"
    assert refusal(images_dir, "loop.png") in {"path cannot be followed", "file is missing"}
    assert refusal(images_dir, "x" * 5000) == "path cannot be followed"
