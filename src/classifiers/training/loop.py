"""Fine-tuning of one run: data, network, Lightning's loop, and the metrics of its best epoch."""

import contextlib
import logging
import math
import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from src.artifacts import CONFIG_FILE
from src.classifiers.models import checkpoints
from src.classifiers.models.evaluation_batches import (
    CentreCrops,
    EvaluationBatches,
    Inputs,
    batch_loader,
    predict_scores,
)
from src.classifiers.models.features import FrozenFeatures
from src.classifiers.models.heads import Heads, Scales
from src.classifiers.models.network import ImageFeatures, MultitaskNetwork
from src.classifiers.runs import features_run
from src.classifiers.settings import FROZEN, requirements
from src.classifiers.targets.batches import RandomCrops, Source, StepSampler, TrainingBatches
from src.classifiers.targets.inputs import TrainingInputs, build_inputs
from src.classifiers.task import TASKS
from src.classifiers.training.callbacks import build_callbacks
from src.classifiers.training.loggers import build_loggers
from src.classifiers.training.module import MultitaskModule
from src.config.stages import ClassifierTrainingConfig
from src.console import progress_of_steps, quiet_lightning
from src.data.folds import FoldData
from src.data.images.store import ImageStore
from src.errors import ConfigError
from src.files import save_yaml
from src.machine import keep_freed_memory
from src.runs import Run, content_hash, plain

logger = logging.getLogger(__name__)

STOPPED = 128 + signal.SIGTERM
WHOLLY = {"16-true": torch.float16, "bf16-true": torch.bfloat16, "64-true": torch.float64}
"""Formats that the whole network is cast to here: Lightning's plugins would also change torch's default type."""

NATIVE_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")  # as torch.cpu.get_capabilities() names them


def fine_tune(
    cfg: ClassifierTrainingConfig, fold: FoldData, run: Run, callbacks: Sequence[lightning.Callback] = ()
) -> dict[str, Any]:
    """Train or resume a resolved config in ``run``'s directory; returns its metrics.

    Raises:
        ArtifactError: An earlier stage's file is missing or does not fit, or a checkpoint is damaged.
        ConfigError: A setting does not fit the images or devices.
        DataError: Nothing is labelled, or the loss stopped being a number.
    """
    keep_freed_memory()
    store = ImageStore.open(fold.images_dir)
    check_store_size(store, cfg.image_size, cfg.eval_crop)
    inputs = build_inputs(cfg, fold, store)
    steps_per_epoch = math.ceil(len(inputs.image_row) / cfg.batch_size)
    if cfg.steps is not None:
        cfg = replace(cfg, epochs=math.ceil(cfg.steps / steps_per_epoch))
    save_yaml(run.directory / CONFIG_FILE, plain(cfg))
    network, train_source, val_inputs = _build(cfg, fold, store, inputs)
    task, definition = TASKS[fold.task], content_hash(run.definition)
    module = MultitaskModule(cfg, network, inputs, task, steps_per_epoch=steps_per_epoch, definition_hash=definition)
    with quiet_lightning(), explain_exhausted_memory():
        _fit(cfg, module, inputs, train_source, val_inputs, run.directory, callbacks)
    checkpoints.drop_previous(run.directory)
    best = checkpoints.load_checkpoint(run.directory / checkpoints.BEST)
    network.float().load_state_dict(checkpoints.network_state(best, definition))
    batches = EvaluationBatches(val_inputs, inputs.val_images, 2 * cfg.batch_size)
    scores = predict_scores(network, batches, module.device)
    return {**task.metrics(fold.label_names, inputs.val_targets, scores, inputs.target_scale), **inputs.counts}


def _build(
    cfg: ClassifierTrainingConfig, fold: FoldData, store: ImageStore, inputs: TrainingInputs
) -> tuple[MultitaskNetwork, Source, Inputs]:
    """A network, and its inputs in training and in evaluation."""
    n_targets, cf_size = len(fold.label_names), inputs.cf_target.shape[1] if requirements(cfg).vectors else None
    scales = Scales(targets=inputs.target_scale, cf=inputs.cf_scale)
    settings: Any = {"hidden_size": cfg.hidden_size, "dropout": cfg.dropout, "seed": cfg.seed}
    if cfg.features == FROZEN:
        features = FrozenFeatures.of(features_run(cfg, fold), cfg, store)
        scales = scales._replace(features=features.scale(store.images_of(inputs.item_id)[0]))
        heads = Heads(features.array.shape[2], n_targets, cf_size, scales=scales, **settings)
        return MultitaskNetwork(None, heads, cfg.views), features.random_views, features.views
    image_features = ImageFeatures(cfg.backbone, cfg.image_size, cfg.seed)
    heads = Heads(image_features.n_features, n_targets, cf_size, scales=scales, **settings)
    network = MultitaskNetwork(image_features, heads).to(memory_format=torch.channels_last)  # faster convolutions
    if cfg.trainer.compile:
        image_features.backbone.compile()
    crops = RandomCrops(store, cfg.augmentation, cfg.image_size)
    return network, crops, CentreCrops(store, cfg.image_size, cfg.eval_crop)


@contextlib.contextmanager
def explain_exhausted_memory() -> Iterator[None]:
    """Explain which settings to lower when a batch does not fit into memory."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and not re.search(r"out of memory|can't allocate memory", str(error)):
            raise
        raise ConfigError(
            "A batch does not fit into memory. Lower batch_size (or unlabelled_batch_size, or image_size), set "
            f"precision=16-mixed on a GPU, or freeze stages (backbone.frozen_stages=2). {error}"
        ) from error


def _fit(
    cfg: ClassifierTrainingConfig,
    module: MultitaskModule,
    inputs: TrainingInputs,
    train_source: Source,
    val_inputs: Inputs,
    directory: Path,
    callbacks: Sequence[lightning.Callback],
) -> None:
    """Train to the last epoch, from the last checkpoint if there is one."""
    precision = usable_precision(cfg.precision, cfg.trainer.accelerator)
    module.network.to(WHOLLY.get(precision))
    strategy = cfg.trainer.strategy
    if strategy == "ddp" and len(cfg.method.phases) > 1:
        strategy = "ddp_find_unused_parameters_true"  # a phase may leave a head out of the loss
    trainer = lightning.Trainer(
        **cfg.trainer.devices_used,
        strategy=strategy,
        precision="32-true" if precision in WHOLLY else precision,  # type: ignore[arg-type]  # one of the choices
        max_epochs=cfg.epochs * len(cfg.method.phases),
        gradient_clip_val=cfg.gradient_clip or None,
        callbacks=[*build_callbacks(cfg, directory), *callbacks, *progress_of_steps(cfg.trainer)],
        plugins=[checkpoints.AtomicCheckpointIO()],
        logger=build_loggers(cfg, directory) or False,
        enable_progress_bar=cfg.trainer.shows_progress,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        deterministic="warn",
    )
    rank, n_ranks = trainer.global_rank, trainer.world_size
    if cfg.batch_size % n_ranks:
        raise ConfigError(f"batch_size {cfg.batch_size} should be a multiple of the {n_ranks} devices.")
    train_batches = TrainingBatches(cfg, inputs, train_source, rank, n_ranks)
    val_batches = EvaluationBatches(val_inputs, inputs.val_images, 2 * cfg.batch_size, rank, n_ranks)
    sampler = StepSampler(module.steps_per_epoch, lambda: trainer.global_step)
    try:
        trainer.fit(
            module,
            batch_loader(train_batches, sampler=sampler, num_workers=cfg.trainer.num_workers),
            batch_loader(val_batches),
            ckpt_path=checkpoints.find_resumable(directory),
            weights_only=True,
        )
    except SIGTERMException:
        raise SystemExit(STOPPED) from None  # Lightning's own exit status is 0


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


def usable_precision(precision: str, accelerator: str) -> str:
    """``precision``, or full precision where the processor only emulates bfloat16: several times slower."""
    on_gpu = torch.cuda.is_available() and accelerator in ("auto", "gpu", "cuda")
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not on_gpu and not torch.backends.mps.is_available())
    if not precision.startswith("bf16") or not (on_gpu or on_cpu):
        return precision
    if on_gpu and torch.cuda.is_bf16_supported(including_emulation=False):
        return precision
    if on_cpu and any(torch.cpu.get_capabilities().get(name) for name in NATIVE_BFLOAT16):
        return precision
    logger.warning("precision=%s would be emulated by this processor and slow; training with 32-true.", precision)
    return "32-true"
