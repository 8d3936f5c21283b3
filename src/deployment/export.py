"""A trained model as a folder that works without this project, laid out as the Hugging Face hub expects it."""

import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import EvalResult, ModelCardData
from safetensors.torch import save_file
from timm.models._hub import save_config_for_hf
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

GRAPHS = {"onnx": "model.onnx", "torch_export": "model.pt2"}
STANDALONE = Path(__file__).parent / "standalone"
LARGEST_LOGIT = 16.0  # where calibration clips scores

CARD = """---
{metadata}
---
# {dataset[name]}: {method[name]} on {backbone[name]}

Labels images with {n_labels} labels. `model.safetensors` holds the backbone, named as in {backbone[source]},
`heads.safetensors` what follows it. {how}

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

    The folder holds the backbone and the heads as safetensors, ``config.json`` by which timm loads the backbone,
    ``model.json`` (labels, thresholds, preprocessing), ``README.md`` (a model card), and for ``onnx`` and
    ``torch_export`` the whole model and ``label_images.py``, which labels files and needs none of this project.

    Raises:
        ArtifactError: There is no such run, or it is damaged.
        ConfigError: The run predicts numbers.
    """
    kind = str(cfg.export)
    run = FinishedRun.choose(dataset_dir(cfg), cfg.study, cfg.run)
    calibration = calibration_of(run, cfg.batch_size)
    folder = dataset_dir(cfg) / "exported" / kind / run.directory.name
    _write_weights(run, folder)
    settings, limits = run.definition["settings"], run.image_limits
    about = {
        **{name: value.tolist() for name, value in vars(calibration).items()},
        **{name: settings[name] for name in ("image_size", "eval_crop", "backbone")},
        "image_limits": {name: getattr(limits, name) for name in decode.Limits.__annotations__},
    }
    save_json(folder / "model.json", about)
    save_text(folder / "README.md", model_card(run, calibration, kind))
    if kind in GRAPHS:
        with atomic_path(folder / GRAPHS[kind]) as temporary:
            _write_graph(run, calibration, temporary, kind)
        for module in (decode.__file__, *STANDALONE.glob("[!_]*.py")):
            shutil.copy(str(module), folder)
    logger.info("Exported %s to %s", run.directory, folder)
    return {"run": str(run.directory), "results": str(folder)}


def _write_weights(run: FinishedRun, folder: Path) -> None:
    """The backbone's weights by its library's names, the heads', and for timm its config."""
    image_features, settings = run.network.image_features, run.definition["settings"]
    assert image_features is not None
    backbone = image_features.backbone
    for name, module in (("model", backbone), ("heads", run.network.heads)):
        kept = {key: value.contiguous() for key, value in module.state_dict().items() if not key.startswith("cf_")}
        with atomic_path(folder / f"{name}.safetensors") as temporary:
            save_file(kept, temporary)
    if settings["backbone"]["source"] == "timm":
        mean, std = (values.flatten().tolist() for values in (image_features.mean, image_features.std))
        size = {"input_size": (3, settings["image_size"], settings["image_size"]), "crop_pct": settings["eval_crop"]}
        with atomic_path(folder / "config.json") as temporary:
            data = {**size, "mean": mean, "std": std, "interpolation": "bilinear", "crop_mode": "center"}
            save_config_for_hf(backbone, str(temporary), data_config=data)


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
    """Data, training and quality of the model, as Markdown, with the hub's metadata."""
    settings, dataset = run.definition["settings"], run.config["dataset"]
    val_mAP = load_json(run.directory / METRICS_FILE)["val_mAP"]  # noqa: N806 - as in the metrics
    about = {"dataset_type": dataset["name"], "dataset_name": dataset["name"], "dataset_split": "validation"}
    quality = EvalResult("image-classification", metric_type="mAP", metric_value=round(val_mAP, 4), **about)
    how, library = "", None
    if settings["backbone"]["source"] == "timm":
        how, library = '`timm.create_model("local-dir:FOLDER", pretrained=True)` gives the backbone. ', "timm"
    if kind in GRAPHS:
        how += f"`{GRAPHS[kind]}` is both; `python label_images.py IMAGE_FOLDER_OR_LIST...` prints a JSON line a file."
    metadata = ModelCardData(
        library_name=library,
        pipeline_tag="image-feature-extraction",
        tags=["image-classification", "collaborative-filtering"],
        license="other",
        model_name=f"{dataset['name']}-{settings['method']['name']}",
        eval_results=[quality],
    )
    return CARD.format(
        **settings | {"dataset": dataset},
        metadata=metadata.to_yaml(),
        licence=dataset.get("licence") or "not stated",
        how=how,
        n_labels=len(calibration.labels),
        n_shared=calibration.n_shared,
        min_positives=MIN_POSITIVES,
        val_mAP=val_mAP,
    )
