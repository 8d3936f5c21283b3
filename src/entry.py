"""Shared by the entry scripts: presets, configs as dataclasses, errors as one message."""

import contextlib
import errno
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from src.config.overrides import PRESET, parse
from src.config.setting import closest, flat, help_text, settings_of
from src.config.stages import ExperimentConfig, StageConfig
from src.config.store import SCHEMAS, STAGE, register_schemas, to_dataclass
from src.errors import ConfigError, UserError
from src.files import PROJECT, load_yaml
from src.recommenders import models as recommender_models

CONFIGS = PROJECT / "configs"

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)

logger = logging.getLogger(__name__)

recommender_models.import_all()
register_schemas()


def start(main: Callable[[], Any], *, find_preset: bool = False) -> None:
    """Run an entry script's ``main``; errors are reported as by ``report_errors``.

    With ``find_preset`` the dataset's preset is added to the command line.
    """
    stand_in_project()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # otherwise Hydra prints the error and exits
    logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stdout)
    if {"--help", "-h"} & set(sys.argv):
        print(help_text(SCHEMAS[STAGE][Path(sys.argv[0]).stem.removeprefix("main_")]), end="\n\n")
    with report_errors():
        if find_preset:
            sys.argv[1:] = with_preset(sys.argv[1:])
        main()


def stand_in_project() -> None:
    """Let relative paths be the project's, wherever the command is given."""
    sys.argv[0] = str(Path(sys.argv[0]).resolve())  # Lightning starts it again for further devices
    os.chdir(PROJECT)


def with_preset(arguments: Sequence[str]) -> list[str]:
    """Overrides of the classifier, with the preset of their dataset unless they set one."""
    overrides = parse([text for text in arguments if "=" in text and not text.startswith("-")])
    given = {override.key_or_group: override for override in overrides}
    if PRESET in given:
        return list(arguments)
    dataset = given.get("dataset")
    if dataset is not None and dataset.is_sweep_override():
        raise ConfigError(
            f"{dataset.input_line} sweeps over datasets, each of which has a preset of its own; give one command a "
            "dataset, or preset=none for none."
        )
    name = dataset.value() if dataset is not None else ExperimentConfig.dataset
    if not (CONFIGS / PRESET / f"{name}.yaml").is_file():
        return list(arguments)
    texts = enumerate(arguments)
    place = next((n for n, text in texts if "=" in text and not text.startswith("-")), len(arguments))
    return [*arguments[:place], f"{PRESET}={name}", *arguments[place:]]  # argparse takes overrides in one row alone


def describe_preset(name: str) -> str:
    """The settings of a preset, as one line."""
    content = load_yaml(CONFIGS / PRESET / f"{name}.yaml")
    chosen = [part for part in content.pop("defaults", []) if isinstance(part, dict)]
    values = {key.removeprefix("override /"): value for part in chosen for key, value in part.items()}
    listed = " ".join(f"{key}={value}" for key, value in (values | flat(content)).items())
    return f"Preset {name} (preset=none for none): {listed}"


def run_stage(stage: Callable[[Any], dict[str, Any]], cfg: DictConfig) -> dict[str, Any]:
    """Run one stage and return its metrics; errors are reported as by ``report_errors``.

    In a multirun errors are also raised again: Hydra runs the other jobs of the sweep, then exits with 1.
    """
    hydra_cfg = HydraConfig.get()
    with report_errors(exit_on_error=hydra_cfg.mode != RunMode.MULTIRUN):
        preset = hydra_cfg.runtime.choices.get(PRESET)
        if preset:
            logger.info("%s", describe_preset(preset))
        return stage(replace(to_dataclass(cfg), called_with=list(hydra_cfg.overrides.task)))


@contextlib.contextmanager
def report_errors(*, exit_on_error: bool = True) -> Iterator[None]:
    """Report a ``UserError``, a config that Hydra rejects, or a failed write as one message, and exit with 1.

    Other errors are defects and keep their traceback.
    """
    try:
        yield
    except (UserError, HydraException, OmegaConfBaseException, OSError) as error:
        if not isinstance(error, (UserError, HydraException, OmegaConfBaseException)) and error.errno not in UNWRITABLE:
            raise
        if not hasattr(error, "reported"):  # by the job of a sweep
            logger.error("%s", as_sentence(error))
            error.reported = True  # type: ignore[union-attr]
        if not exit_on_error:
            raise
        sys.exit(1)
    except KeyboardInterrupt:
        logger.error("Stopped. The same command again continues where it can.")
        sys.exit(130)


def compose_config(name: str, overrides: Sequence[str]) -> Any:
    """The dataclass of the entry script ``main_<name>.py`` called with ``overrides``.

    Raises:
        ConfigError: Hydra cannot compose it: an unknown key or choice, or a value of the wrong type or not allowed.
    """
    given = with_preset(overrides) if name == "train_classifier" else list(overrides)
    GlobalHydra.instance().clear()  # of a command that composes another one's config
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        try:
            cfg = to_dataclass(compose(name, overrides=given))
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(as_sentence(error)) from error
    return replace(cfg, called_with=given) if isinstance(cfg, StageConfig) else cfg


def as_sentence(error: Exception) -> str:
    """An error as one message; for a rejected config it names the setting."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        return f"Writing failed: {error}. Fix that; the same command then continues where it stopped."
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__
    key, schema = (getattr(cause, name, None) for name in ("full_key", "object_type"))
    if isinstance(cause, (ConfigAttributeError, ConfigKeyError)) and is_dataclass(schema):
        name = str(key).rpartition(".")[2]
        return f"There is no setting {key}{closest(name, list(settings_of(schema))) or '; --help lists all.'}"
    text = re.sub(
        r"(full_key|object_type|reference_type)[:=] ?\S*|Config search path:.*", "", str(cause or error), flags=re.S
    )
    text = " ".join(word for word in text.split() if not word.startswith("base_"))
    return f"{key}: {text}." if key else text
