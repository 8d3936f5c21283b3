"""What a long stage prints: progress, but not Lightning's tips and warnings."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from src.errors import ConfigError

if TYPE_CHECKING:
    import lightning

    from src.config.classifiers import TrainerConfig

_log = logging.getLogger(__name__)
A_MINUTE = 60.0


class _Lines:
    """A stream for ``tqdm`` that logs what it is given."""

    def write(self, text: str) -> None:
        if text.strip():
            _log.info("%s", text.strip())

    def flush(self) -> None: ...


def progress(
    items: Iterable[Any] | None, name: str, total: int | None = None, *, unit: str = "it", shown: bool = True
) -> tqdm[Any]:
    """``items`` with a progress bar where the output is a terminal, and a line a minute elsewhere."""
    settings: dict[str, Any] = {"desc": name, "total": total, "unit": unit, "disable": not shown}
    if not sys.stderr.isatty():
        settings |= {"file": _Lines(), "mininterval": A_MINUTE, "maxinterval": 2 * A_MINUTE, "delay": A_MINUTE}
        settings |= {"ascii": True, "leave": False}
    return tqdm(items, **settings)


def progress_of_steps(cfg: TrainerConfig) -> list[lightning.Callback]:
    """A callback of Lightning that shows ``progress`` where it is wanted and Lightning's own bar is not shown."""
    if not cfg.progress_bar or cfg.shows_progress:
        return []
    from lightning.pytorch.callbacks import LambdaCallback

    lines: list[tqdm[Any]] = []

    def start(trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        total = int(trainer.estimated_stepping_batches)
        lines.append(progress(None, "steps", total, unit="step", shown=trainer.is_global_zero))
        lines[0].n = lines[0].initial = trainer.global_step  # a run that continues

    return [
        LambdaCallback(
            on_train_start=start,
            on_train_batch_end=lambda *_: lines[0].update(),
            on_train_end=lambda *_: lines[0].close(),
        )
    ]


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Suppress Lightning's tips and its warnings about worker processes, which ready-made batches do not need.

    Raises:
        ConfigError: Lightning cannot use the devices or the strategy of ``trainer``.
    """
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    lightning_logger = logging.getLogger("lightning.pytorch")
    level, propagate = lightning_logger.level, lightning_logger.propagate
    lightning_logger.setLevel(logging.WARNING)
    lightning_logger.propagate = False  # it has its own handler: each line would appear twice
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    except MisconfigurationException as error:
        raise ConfigError(f"The trainer cannot be set up as trainer.* says: {error}") from error
    finally:
        lightning_logger.setLevel(level)
        lightning_logger.propagate = propagate
