"""A trained model as a folder that works without this project: weights, preprocessing, labels, thresholds, card."""

import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.export import Dim

from src.artifacts import METRICS_FILE
from src.classifiers.finished_run import FinishedRun
from src.classifiers.models.network import MultitaskNetwork
from src.config.stages import UseConfig
from src.data.images import decode
from src.deployment.calibration import MIN_POSITIVES, Calibration, calibration_of
from src.files import atomic_path, load_json, save_json, save_text
from src.recommenders.run import dataset_dir

logger = logging.getLogger(__name__)

FORMATS = {"onnx": "model.onnx", "torch_export": "model.pt2", "safetensors": "model.safetensors"}
STANDALONE = Path(__file__).parent / "standalone"
LARGEST_LOGIT = 16.0  # where calibration clips scores

CARD = """# {dataset[name]}: {method[name]} on {backbone[name]}

Labels images with {n_labels} labels. {how}

## Data

- Trained on fold {fold} of `{dataset[name]}`, label ratio {label_ratio:g}.
- Licence of the data: {licence}

## Training

- Method {method[name]}, alpha {alpha:g}, lambda {distill_lambda:g}, {epochs} epochs, batch {batch_size},
  {image_size} px, seed {seed}.
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
        """Take the backbone and the label head; only training needs the CF head."""
        super().__init__()
        self.network, self.slope = network, float(calibration.slope)
        self.network.heads.cf_head = None
        self.bias: Tensor
        self.register_buffer("bias", torch.from_numpy(calibration.bias).float())

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and probabilities, both [b, N], of images [b, 3, S, S] uint8."""
        logits = self.network.logits(images)
        inside = logits.clamp(-LARGEST_LOGIT, LARGEST_LOGIT)
        return logits.sigmoid(), (self.slope * inside + self.bias).sigmoid()


def export_model(cfg: UseConfig) -> dict[str, Any]:
    """Write ``outputs/<dataset>/exported/<format>/<run>/`` of the chosen run.

    The folder holds the model, ``model.json`` (labels, thresholds, preprocessing), ``README.md`` (a model card), and
    for ``onnx`` and ``torch_export`` ``label_images.py``, which labels files and needs none of this project.

    Raises:
        ArtifactError: There is no such run, or it is damaged.
        ConfigError: The run predicts numbers.
    """
    kind = str(cfg.export)
    run = FinishedRun.choose(dataset_dir(cfg), cfg.study, cfg.run)
    calibration = calibration_of(run, cfg.batch_size)
    folder = dataset_dir(cfg) / "exported" / kind / run.directory.name
    with atomic_path(folder / FORMATS[kind]) as temporary:
        if kind == "safetensors":
            weights = run.network.state_dict().items()
            state = {name: value.contiguous() for name, value in weights if not name.startswith("heads.cf_")}
            save_file(state, temporary)
        else:
            _write_graph(run, calibration, temporary, kind)
    settings, limits = run.definition["settings"], run.image_limits
    about = {
        **{name: value.tolist() for name, value in vars(calibration).items()},
        **{name: settings[name] for name in ("image_size", "eval_crop", "backbone")},
        "image_limits": {name: getattr(limits, name) for name in decode.Limits.__annotations__},
    }
    save_json(folder / "model.json", about)
    save_text(folder / "README.md", model_card(run, calibration, kind))
    if kind != "safetensors":
        for module in (decode.__file__, *STANDALONE.glob("[!_]*.py")):
            shutil.copy(str(module), folder)
    logger.info("Exported %s to %s", run.directory, folder)
    return {"run": str(run.directory), "results": str(folder)}


def _write_graph(run: FinishedRun, calibration: Calibration, path: Path, kind: str) -> None:
    model, size = ExportedNetwork(run.network, calibration).eval(), run.definition["settings"]["image_size"]
    model.requires_grad_(False)  # calibration may have turned the weights into inference tensors
    example = (torch.zeros((2, 3, size, size), dtype=torch.uint8),)
    program = torch.export.export(model, example, dynamic_shapes={"images": {0: Dim("batch", min=1)}})
    if kind == "torch_export":
        with path.open("wb") as stream:
            torch.export.save(program, stream)
        return
    names = ["scores", "probabilities"]
    onnx: Any = torch.onnx.export(program, input_names=["images"], output_names=names, dynamo=True, verbose=False)
    onnx.save(str(path))


def model_card(run: FinishedRun, calibration: Calibration, kind: str) -> str:
    """Data, training and quality of the model, as Markdown."""
    how = (
        "`python label_images.py IMAGE_FOLDER_OR_LIST...` prints one JSON line a file."
        if kind != "safetensors"
        else "The weights are named as in `image_features` and `heads` of the training code's network."
    )
    return CARD.format(
        **run.definition["settings"] | {"dataset": run.config["dataset"]},
        licence=run.config["dataset"].get("licence") or "not stated",
        how=how,
        n_labels=len(calibration.labels),
        n_shared=calibration.n_shared,
        min_positives=MIN_POSITIVES,
        val_mAP=load_json(run.directory / METRICS_FILE)["val_mAP"],
    )
