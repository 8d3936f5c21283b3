"""What the entry scripts share: composing configs into dataclasses, and errors as sentences."""

import contextlib
import errno
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from src.config import register_configs, to_dataclass
from src.errors import ConfigError, UserError

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)

logger = logging.getLogger(__name__)


def run_stage(stage: Callable[[Any], dict[str, Any]], cfg: DictConfig) -> dict[str, Any]:
    """Run one stage and return its metrics; errors are reported as by ``report_errors``.

    In a multirun an error is reported too but passed on: the other jobs of the sweep run, then Hydra exits with 1.
    """
    is_job_of_sweep = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    with report_errors(exit_on_error=not is_job_of_sweep):
        return stage(to_dataclass(cfg))


@contextlib.contextmanager
def report_errors(*, exit_on_error: bool = True) -> Iterator[None]:
    """Turn a ``UserError``, or a disk that takes nothing, into one message and exit status 1.

    Anything else is a defect and keeps its traceback.
    """
    try:
        yield
    except UserError as error:
        logger.error("%s", error)
        if not exit_on_error:
            raise
        sys.exit(1)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        logger.error("Writing failed: %s. Mend that, and the same command goes on where it was.", error)
        if not exit_on_error:
            raise
        sys.exit(1)
    except KeyboardInterrupt:
        logger.error("Stopped. The same command again goes on where it can.")
        sys.exit(130)


def compose_config(name: str, overrides: Sequence[str]) -> Any:
    """The dataclass of the entry script ``main_<name>.py`` called with ``overrides``.

    Raises:
        ConfigError: Hydra cannot compose it: an unknown key or choice, or a value of the wrong type.
    """
    register_configs()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        try:
            return to_dataclass(compose(name, overrides=list(overrides)))
        except HydraException as error:
            cause = f": {error.__cause__}" if error.__cause__ else ""
            raise ConfigError(f"{error}{cause} (composing {name} with {' '.join(overrides)})") from error
