"""Console output without Lightning's tips and warnings."""

import contextlib
import logging
import warnings
from collections.abc import Iterator

from src.errors import ConfigError


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
