"""What the terminal shows: our lines and progress bars, not Lightning's advertisements."""

import contextlib
import logging
import warnings
from collections.abc import Iterator

from src.errors import ConfigError


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hold back Lightning's tips, and its advice on worker processes, which batches made in one piece do not need.

    Raises:
        ConfigError: Lightning cannot use the devices or the strategy that ``trainer`` names.
    """
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    chatter = logging.getLogger("lightning.pytorch")
    level, propagate = chatter.level, chatter.propagate
    chatter.setLevel(logging.WARNING)
    chatter.propagate = False  # it has a handler of its own: every line would come twice
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    except MisconfigurationException as error:
        raise ConfigError(f"The trainer cannot be set up as trainer.* says: {error}") from error
    finally:
        chatter.setLevel(level)
        chatter.propagate = propagate
