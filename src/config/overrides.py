"""Command-line overrides: parsed by Hydra, filtered by stage, joined into commands."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import OverrideParseException

from src.config.store import SCHEMAS, STAGE
from src.errors import ConfigError

PRESET = "preset"


def parse(overrides: Sequence[str]) -> list[Override]:
    """Overrides as Hydra parses them; raises ``ConfigError`` for one that is not KEY=VALUE."""
    parser = OverridesParser.create()
    try:
        parsed = parser.parse_overrides(list(overrides))
    except OverrideParseException as error:
        raise ConfigError(f"An override should read KEY=VALUE, but is {error.override!r}.") from error
    for override in parsed:
        if not override.key_or_group:
            raise ConfigError(f"An override should read KEY=VALUE, but is {override.input_line!r}.")
    return parsed


def head(override: Override) -> str:
    """The setting, or config group, at the root of an override's key."""
    return override.key_or_group.split("/")[0].split(".")[0]


def is_known(stage: str, override: Override) -> bool:
    """Whether a stage has the setting that an override sets."""
    if head(override) == PRESET:
        return stage == "train_classifier"
    return head(override) in {entry.name for entry in fields(SCHEMAS[STAGE][stage])}


def command(stage: str, called_with: Sequence[str], settings: Mapping[str, Any], drop: Sequence[str] = ()) -> str:
    """The command ``main_<stage>.py`` with those of the caller's overrides that the stage has, except ``drop``.

    ``settings`` are added, in place of the caller's.
    """
    kept = [
        override.input_line
        for override in parse(called_with)
        if is_known(stage, override) and override.key_or_group not in settings and head(override) not in drop
    ]
    given = [f"{name}={value}" for name, value in settings.items()]
    return shlex.join(["python", f"main_{stage}.py", *map(str, kept), *given])
