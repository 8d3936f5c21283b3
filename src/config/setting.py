"""Declaration of a setting: its default, allowed values, meaning, and whether it names a run."""

import difflib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any

from omegaconf import MISSING as UNSET

from src.errors import ConfigError

ALWAYS, CHANGED, NEVER = "always", "where it differs from its default", "never"
"""When a setting is part of what names a run."""


@dataclass(frozen=True)
class Setting:
    """A setting's properties, apart from its name, type and default.

    Attributes:
        meaning: One phrase, shown by ``--help`` and in docs/settings.md.
        choices: The allowed values; empty: any of its type.
        within: Range of a number, or of each number of a list, such as ``[0, 1)``; empty: any.
        names_run: ``ALWAYS``, ``CHANGED`` or ``NEVER``.
        costs_time: Whether it decides how long a run takes.
        tunable: Whether tuning may choose it.
    """

    meaning: str
    choices: tuple[Any, ...] = ()
    within: str = ""
    names_run: str = ALWAYS
    costs_time: bool = False
    tunable: bool = False

    @property
    def allowed(self) -> str:
        """The allowed values as text; empty: any."""
        return f"one of {', '.join(map(str, self.choices))}" if self.choices else self.within and f"in {self.within}"

    def __str__(self) -> str:
        return f"{self.meaning} ({self.allowed})" if self.allowed else self.meaning

    def permits(self, value: Any) -> bool:
        """Whether a single value is allowed; null always is, where the type has it."""
        if value in (None, UNSET) or not self.allowed:
            return True
        if self.choices:
            return value in self.choices
        low, high = (float(end) for end in self.within[1:-1].split(","))
        above = value >= low if self.within[0] == "[" else value > low
        return above and (value <= high if self.within[-1] == "]" else value < high)


def setting(default: Any, meaning: str, *, choices: str = "", **more: Any) -> Any:
    """Declare a field of a schema.

    Args:
        default: A value, a list or mapping (copied), or a schema.
        meaning: As of ``Setting``.
        choices: The allowed words, such as ``cf | shuffled | random``.
        more: Other attributes of ``Setting``.
    """
    metadata = {"setting": Setting(meaning, tuple(filter(None, choices.split(" | "))), **more)}
    if isinstance(default, (type, list, dict)):
        return field(default_factory=default if callable(default) else lambda: deepcopy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def option(default: Any, meaning: str, **more: Any) -> Any:
    """Declare a setting that names no run; arguments as of ``setting``."""
    return setting(default, meaning, names_run=NEVER, **more)


def settings_of(schema: Any) -> dict[str, Setting]:
    """The settings that a schema (a dataclass or an instance) declares, by name."""
    return {entry.name: entry.metadata["setting"] for entry in fields(schema)}


def check(cfg: Any, prefix: str = "") -> None:
    """Raise ``ConfigError`` for the first value of a config, or of a config within it, that is not allowed."""
    for name, declared in settings_of(cfg).items():
        value = getattr(cfg, name)
        several = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
        for place, one in [("", value)] if several is None else [(f"[{place}]", one) for place, one in several]:
            if is_dataclass(one):
                check(one, f"{prefix}{name}{place}.")
            elif not declared.permits(one):
                raise ConfigError(f"{prefix}{name} should be {declared.allowed}, but is {one!r}.")


def identity(cfg: Any) -> dict[str, Any]:
    """The settings that name a run of this config, as nested plain values."""
    result = {}
    for entry in fields(cfg):
        value, names_run = getattr(cfg, entry.name), entry.metadata["setting"].names_run
        if names_run == ALWAYS or (names_run == CHANGED and value != default_of(entry)):
            result[entry.name] = _plain_identity(value)
    return result


def help_text(schema: type) -> str:
    """A schema's settings, one a line, with their meanings and allowed values, for ``--help``."""
    lines = [f"  {name:22s} {declared}" for name, declared in settings_of(schema).items()]
    return "\n".join([*lines, "", "Settings of a group, such as those of method and recommender: docs/settings.md."])


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    result: dict[str, Any] = {}
    for name, value in nested.items():
        result |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return result


def default_of(entry: Field[Any]) -> Any:
    """A field's default value."""
    return entry.default if entry.default_factory is MISSING else entry.default_factory()


def closest(name: str, known: Sequence[str]) -> str:
    """A hint for a mistyped name; empty if no known name is similar."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _plain_identity(value: Any) -> Any:
    if is_dataclass(value):
        return identity(value)
    if isinstance(value, list):
        return [_plain_identity(one) for one in value]
    return {name: _plain_identity(one) for name, one in value.items()} if isinstance(value, dict) else value
