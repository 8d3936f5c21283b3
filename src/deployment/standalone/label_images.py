"""Label images with the model in this folder: python label_images.py IMAGE_FOLDER_OR_LIST... > labels.jsonl.

Needs numpy, pillow, and for model.onnx onnxruntime, else torch. Each line has an image's labels whose probability
reaches the threshold that validation chose, and the probabilities of all labels; or why the file cannot be used. A list
has one path a line.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from decode import FORMATS, RefusedImageError, decode_image, fit
from image_files import as_text, find_images


class Labeller:
    """The model of a folder."""

    def __init__(self, folder: Path = Path(__file__).parent) -> None:
        self.about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        self.limits = SimpleNamespace(**self.about["image_limits"])
        if (folder / "model.onnx").is_file():
            import onnxruntime

            session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
            self.run = lambda images: session.run(["probabilities"], {"images": images})[0]
        else:
            import torch

            network = torch.export.load(folder / "model.pt2").module()
            self.run = lambda images: network(torch.from_numpy(images))[1].detach().numpy()

    def load(self, path: str | Path) -> np.ndarray:
        """Centre crop of an image file, [3, S, S] uint8; raises ``RefusedImageError`` when the file cannot be used."""
        if not Path(path).is_file():
            raise RefusedImageError("file is missing, or no regular file")
        image, _ = decode_image(Path(path).read_bytes(), self.limits)
        pixels = fit(image, self.limits)
        height, width = pixels.shape[:2]
        side = max(1, int(np.rint(min(height, width) * self.about["eval_crop"])))
        top, left = (height - side) // 2, (width - side) // 2
        size = self.about["image_size"]
        crop = Image.fromarray(pixels[top : top + side, left : left + side])
        if side != size:
            crop = crop.resize((size, size), Image.Resampling.BILINEAR)
        return np.ascontiguousarray(np.asarray(crop).transpose(2, 0, 1))

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, [b, N], of images [b, 3, S, S] uint8."""
        return np.asarray(self.run(images))

    def label(self, path: str | Path) -> dict[str, object]:
        """Labels and probabilities of one image file, or why it cannot be used."""
        try:
            row = self.probabilities(self.load(path)[None])[0]
        except (RefusedImageError, OSError) as error:
            return {"image": as_text(Path(path)), "error": str(error)}
        named = dict(zip(self.about["labels"], (round(float(p), 6) for p in row), strict=True))
        given = [label for label, p, t in zip(named, row, self.about["thresholds"], strict=True) if p >= t]
        return {"image": as_text(Path(path)), "labels": given, "probabilities": named}


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(__doc__)
    labeller = Labeller()
    for name in sys.argv[1:]:
        for image_file in find_images(Path(name), FORMATS):
            print(json.dumps(labeller.label(image_file)))
