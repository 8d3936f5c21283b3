"""A trained model as a folder that works without this project: weights, preprocessing, labels, thresholds, card."""

import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.export import Dim

from src.artifacts import METRICS_FILE, atomic_path, load_json, save_json, save_text
from src.classifiers.network import MultitaskNetwork
from src.config import PredictConfig, check_choice
from src.data import decode
from src.deployment.calibration import MIN_POSITIVES, Calibration
from src.deployment.finished_run import FinishedRun, choose_run
from src.runs import plain

logger = logging.getLogger(__name__)

FORMATS = {"onnx": "model.onnx", "torch_export": "model.pt2", "safetensors": "model.safetensors"}
STANDALONE = Path(__file__).parent / "standalone" / "label_images.py"
LARGEST_LOGIT = 16.0  # calibration clips scores this far out

CARD_SETTINGS = (
    *("fold", "label_ratio", "alpha", "distill_lambda", "epochs", "batch_size", "image_size", "seed", "backbone"),
)
CARD = """# {dataset}: {method} on {backbone[name]}

Labels images with {n_labels} labels. {how}

## Data

- Trained on fold {fold} of `{dataset}`, label ratio {label_ratio:g}.
- Licence of the data: {licence}

## Training

- Method {method}, alpha {alpha:g}, lambda {distill_lambda:g}, {epochs} epochs, batch {batch_size}, {image_size} px,
  seed {seed}.
- ImageNet weights: {backbone[weights]} ({backbone[architecture]}).

## Quality

- mAP on the fold's validation images, which also chose the epoch: {val_mAP:.3f}.
- Probabilities are calibrated, and each label's threshold is the one of highest F1, on the same images; {n_shared}
  labels with fewer than {min_positives} of them take the threshold that is best for all labels together.
- Not tested on images of another kind than the dataset's.
"""


class ExportedNetwork(nn.Module):
    """Pixels to label scores and calibrated probabilities, everything inside."""

    def __init__(self, network: MultitaskNetwork, calibration: Calibration) -> None:
        """Take the backbone and the label head; the CF head serves training alone."""
        super().__init__()
        self.network, self.slope = network, calibration.slope
        self.network.cf_head = None
        self.bias: Tensor
        self.register_buffer("bias", torch.from_numpy(calibration.bias).float())

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and probabilities, both [b, N], of images [b, 3, S, S] uint8."""
        logits = self.network.label_head(self.network.features(images.float() / 255))
        inside = logits.clamp(-LARGEST_LOGIT, LARGEST_LOGIT)
        return logits.sigmoid(), (self.slope * inside + self.bias).sigmoid()


def export_model(cfg: PredictConfig) -> dict[str, Any]:
    """Write ``outputs/<dataset>/exported/<format>/<run>/`` of the chosen run.

    The folder holds the model, ``model.json`` (labels, thresholds, preprocessing), ``README.md`` (a model card), and
    for ``onnx`` and ``torch_export`` ``label_images.py``, which labels files and needs none of this project.

    Returns:
        The run and the folder.

    Raises:
        ArtifactError: There is no such run, or it is damaged.
        ConfigError: The format is unknown.
    """
    kind = str(cfg.export)
    check_choice("export", kind, tuple(FORMATS))
    dataset_dir = Path(cfg.outputs_dir) / cfg.dataset.name
    run = choose_run(dataset_dir, cfg.study, cfg.run)
    calibration = run.calibration(cfg.batch_size)
    folder = dataset_dir / "exported" / kind / run.directory.name
    network = run.network()
    with atomic_path(folder / FORMATS[kind]) as temporary:
        if kind == "safetensors":
            state = {name: value for name, value in network.state_dict().items() if not name.startswith("cf_head.")}
            save_file(state, temporary)
        else:
            _write_graph(ExportedNetwork(network, calibration).eval(), run, temporary, kind)
    settings = run.definition["settings"]
    limits = run.image_limits
    save_json(
        folder / "model.json",
        {
            "labels": calibration.labels,
            "thresholds": calibration.thresholds.tolist(),
            "slope": calibration.slope,
            "bias": calibration.bias.tolist(),
            "image_size": settings["image_size"],
            "eval_crop": settings["eval_crop"],
            "image_limits": {
                name: value for name, value in plain(limits).items() if name in decode.Limits.__annotations__
            },
            "backbone": settings["backbone"],
        },
    )
    save_text(folder / "README.md", model_card(run, calibration, kind))
    if kind != "safetensors":
        for module in (decode.__file__, STANDALONE):
            shutil.copy(str(module), folder)
    logger.info("Exported %s to %s", run.directory, folder)
    return {"run": str(run.directory), "results": str(folder)}


def _write_graph(model: ExportedNetwork, run: FinishedRun, path: Path, kind: str) -> None:
    size = run.definition["settings"]["image_size"]
    example = (torch.zeros((2, 3, size, size), dtype=torch.uint8),)
    shapes = {"images": {0: Dim("batch", min=1)}}
    program = torch.export.export(model, example, dynamic_shapes=shapes)
    if kind == "torch_export":
        with path.open("wb") as stream:
            torch.export.save(program, stream)
        return
    names = ["scores", "probabilities"]
    onnx: Any = torch.onnx.export(program, input_names=["images"], output_names=names, dynamo=True, verbose=False)
    onnx.save(str(path))


def model_card(run: FinishedRun, calibration: Calibration, kind: str) -> str:
    """What a user of the model should know of it, as Markdown."""
    settings, config = run.definition["settings"], run.config
    metrics = load_json(run.directory / METRICS_FILE)
    how = (
        "`python label_images.py IMAGE_OR_FOLDER...` prints one JSON line an image."
        if kind != "safetensors"
        else "The weights are named as in `backbone` and `label_head` of the training code's network."
    )
    return CARD.format(
        dataset=config["dataset"]["name"],
        licence=config["dataset"].get("licence") or "not stated",
        method=settings["method"]["name"],
        how=how,
        n_labels=len(calibration.labels),
        n_shared=calibration.n_shared,
        min_positives=MIN_POSITIVES,
        val_mAP=metrics["val_mAP"],
        **{name: settings[name] for name in CARD_SETTINGS},
    )
