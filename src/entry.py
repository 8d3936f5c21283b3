"""What the five entry scripts share: composing configs into dataclasses, and errors as sentences."""

import logging
import sys
from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig

from src.config import to_dataclass
from src.errors import UserError

logger = logging.getLogger(__name__)


def run_stage(stage: Callable[[Any], dict[str, Any]], cfg: DictConfig) -> dict[str, Any]:
    """Run one stage and return its metrics.

    A ``UserError`` becomes one message and exit status 1; anything else is a defect of ours and keeps its traceback.
    """
    try:
        return stage(to_dataclass(cfg))
    except UserError as error:
        logger.error("%s", error)
        sys.exit(1)
    except KeyboardInterrupt:
        logger.error("Stopped. The same command again goes on where it can.")
        sys.exit(130)
