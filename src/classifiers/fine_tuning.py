"""Fine-tuning of one run: data, network, Lightning's loop, and the metrics of its best epoch."""

import contextlib
import logging
import math
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from src.artifacts import CONFIG_FILE, save_yaml
from src.classifiers.batches import StepSampler, TrainingBatches
from src.classifiers.callbacks import checkpoint_callbacks, training_aids
from src.classifiers.checkpoints import BEST, AtomicCheckpointIO, drop_previous, find_resumable, load_weights
from src.classifiers.evaluation_batches import EvaluationBatches, batch_loader
from src.classifiers.inference import predict_scores
from src.classifiers.inputs import TrainingInputs, build_inputs
from src.classifiers.loggers import Throughput, build_loggers
from src.classifiers.module import MultitaskModule
from src.classifiers.network import MultitaskNetwork
from src.classifiers.settings import requirements
from src.config import ClassifierTrainingConfig
from src.console import quiet_lightning
from src.data.folds import FoldData
from src.data.store import ImageStore
from src.data.transforms import check_store_size
from src.errors import ConfigError
from src.evaluation.metrics import average_precision, mean_average_precision
from src.evaluation.regression import coefficient_of_determination
from src.machine import keep_freed_memory
from src.runs import Run, content_hash, plain

logger = logging.getLogger(__name__)

STOPPED = 128 + signal.SIGTERM
NATIVE_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")  # as torch.cpu.get_capabilities() names them


def fine_tune(
    cfg: ClassifierTrainingConfig, fold: FoldData, run: Run, callbacks: Sequence[lightning.Callback] = ()
) -> dict[str, Any]:
    """Train a resolved config in ``run``'s directory, from its last checkpoint if there is one; returns its metrics.

    Raises:
        ArtifactError: An earlier stage's file is missing or does not fit, or a checkpoint is damaged.
        ConfigError: A setting does not fit the images or devices.
        DataError: Nothing is labelled, or the loss stopped being a number.
    """
    keep_freed_memory()
    store = ImageStore.open(fold.images_dir)
    check_store_size(store, cfg.image_size, cfg.dataset.eval_crop)
    inputs = build_inputs(cfg, fold, store)
    cf_size = inputs.cf_target.shape[1] if requirements(cfg).vectors else None
    network = MultitaskNetwork(cfg.backbone, len(fold.label_names), cf_size, cfg.seed, inputs.target_scale)
    if cfg.trainer.channels_last:
        network = network.to(memory_format=torch.channels_last)
    definition_hash = content_hash(run.definition)
    save_yaml(run.directory / CONFIG_FILE, plain(cfg))
    steps_per_epoch = math.ceil(len(inputs.image_row) / cfg.batch_size)
    module = MultitaskModule(cfg, network, inputs, steps_per_epoch=steps_per_epoch, definition_hash=definition_hash)
    if cfg.trainer.compile:
        network.backbone.compile()
    with quiet_lightning(), explain_exhausted_memory():
        _fit(cfg, module, inputs, store, run.directory, callbacks)
    drop_previous(run.directory)
    load_weights(network, run.directory / BEST, definition_hash)
    scores = predict_scores(network, _validation_batches(cfg, inputs, store), module.device)
    if inputs.target_scale is not None:
        scale = inputs.target_scale.numpy()
        r2 = coefficient_of_determination(inputs.val_targets * scale[1] + scale[0], scores)
        return {"val_R2": dict(zip(fold.label_names, r2.tolist(), strict=True)), **inputs.counts}
    return _metrics(inputs, scores, fold.label_names)


@contextlib.contextmanager
def explain_exhausted_memory() -> Iterator[None]:
    """Say what to lower when a device's memory, or the machine's, does not hold a batch."""
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
    store: ImageStore,
    directory: Path,
    callbacks: Sequence[lightning.Callback],
) -> None:
    """Train to the last epoch, from the last checkpoint if there is one."""
    trainer = _build_trainer(cfg, directory, callbacks)
    rank, n_ranks = trainer.global_rank, trainer.world_size
    if cfg.batch_size % n_ranks:
        raise ConfigError(f"batch_size {cfg.batch_size} should be a multiple of the {n_ranks} devices.")
    batches = TrainingBatches(cfg, inputs, store, rank, n_ranks)
    sampler = StepSampler(module.steps_per_epoch, lambda: trainer.global_step)
    try:
        trainer.fit(
            module,
            batch_loader(batches, sampler=sampler, num_workers=cfg.trainer.num_workers),
            batch_loader(_validation_batches(cfg, inputs, store, rank, n_ranks)),
            ckpt_path=find_resumable(directory),
            weights_only=True,
        )
    except SIGTERMException:
        raise SystemExit(STOPPED) from None  # Lightning's own has the exit status of success


def _validation_batches(
    cfg: ClassifierTrainingConfig, inputs: TrainingInputs, store: ImageStore, rank: int = 0, n_ranks: int = 1
) -> EvaluationBatches:
    return EvaluationBatches(
        store,
        inputs.val_row,
        image_size=cfg.image_size,
        eval_crop=cfg.dataset.eval_crop,
        batch_size=2 * cfg.batch_size,
        rank=rank,
        n_ranks=n_ranks,
    )


def _build_trainer(
    cfg: ClassifierTrainingConfig, directory: Path, callbacks: Sequence[lightning.Callback]
) -> lightning.Trainer:
    strategy = cfg.trainer.strategy
    if strategy == "ddp" and len(cfg.method.phases) > 1:
        strategy = "ddp_find_unused_parameters_true"  # a phase may leave a head out of the loss
    loggers = build_loggers(cfg, directory)
    watch = [Throughput()] if loggers else []
    return lightning.Trainer(
        **cfg.trainer.devices_used,
        strategy=strategy,
        precision=usable_precision(cfg.precision, cfg.trainer.accelerator),  # type: ignore[arg-type]  # checked there
        max_epochs=cfg.epochs * len(cfg.method.phases),
        gradient_clip_val=cfg.gradient_clip or None,
        callbacks=[
            *training_aids(cfg),
            *checkpoint_callbacks(directory, averaged=bool(cfg.ema_decay)),
            *watch,
            *callbacks,
        ],
        plugins=[AtomicCheckpointIO()],
        logger=loggers or False,
        enable_progress_bar=cfg.trainer.progress_bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        deterministic="warn",
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


def _metrics(inputs: TrainingInputs, scores: np.ndarray, label_names: list[str]) -> dict[str, Any]:
    per_class = average_precision(inputs.val_targets, scores)
    return {
        "val_mAP": mean_average_precision(inputs.val_targets, scores),
        "val_AP": {
            name: None if np.isnan(value) else float(value) for name, value in zip(label_names, per_class, strict=True)
        },
        **inputs.counts,
    }
