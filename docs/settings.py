"""Write docs/settings.md from the schemas: PYTHONPATH=. python docs/settings.py."""

from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass
from typing import Any

from omegaconf import MISSING

import src.entry  # noqa: F401 - makes all schemas known
from src.config.datasets import DatasetConfig
from src.config.setting import NEVER, default_of, settings_of
from src.config.store import SCHEMAS, STAGE
from src.files import PROJECT, save_text
from src.recommenders.base import RecommenderConfig

PAGE = PROJECT / "docs" / "settings.md"
SHARED = {"dataset": DatasetConfig, "recommender": RecommenderConfig}
HEADER = """# Settings

Made by `PYTHONPATH=. python docs/settings.py`. A setting is declared once, in its schema. The last column says whether
it names a run (of a dataset, the prepared data): always, where it differs from its default, or never.
"""


def settings_page() -> str:
    """The content of the page: a section for each entry script, then for each choice of a config group."""
    sections = [HEADER]
    for name, schema in SCHEMAS[STAGE].items():
        sections += _sections(f"`main_{name}.py`", schema, "", ())
    for group, schemas in sorted(SCHEMAS.items()):
        if group == STAGE:
            continue
        shared = SHARED.get(group)
        known = tuple(settings_of(shared)) if shared else ()
        if shared:
            sections += _sections(f"`{group}`, whatever it is", shared, f"{group}.", ())
        for name, schema in sorted(schemas.items()):
            own = tuple(one for one in known if _same(schema, shared, one))
            sections += _sections(f"`{group}`" if name == group else f"`{group}={name}`", schema, f"{group}.", own)
    return "\n".join(sections)


def _sections(title: str, schema: Any, prefix: str, without: tuple[str, ...]) -> Iterator[str]:
    """A table of a schema's settings, then those of the schemas within it that belong to no config group."""
    lines = [
        f"## {title}",
        "",
        (schema.__doc__ or "").split("\n")[0],
        "",
        "| setting | default | meaning | names a run |",
    ]
    lines += ["|---|---|---|---|"]
    parts = []
    for entry in fields(schema):
        declared, value = settings_of(schema)[entry.name], default_of(entry)
        if entry.name in without:
            continue
        first = value[0] if isinstance(value, list) and value else value
        if is_dataclass(first):
            parts.append((entry.name, type(first)))
        names_run = "" if declared.names_run == NEVER else declared.names_run
        lines.append(f"| `{prefix}{entry.name}` | {_shown(entry)} | {declared} | {names_run} |".replace("|  |", "| |"))
    yield "\n".join([*lines, ""])
    for name, part in parts:
        yield from _sections(f"`{prefix}{name}`", part, f"{prefix}{name}.", ())


def _same(schema: Any, base: Any, name: str) -> bool:
    """Whether a schema has a setting as its base declares it."""
    one, other = (next(entry for entry in fields(kind) if entry.name == name) for kind in (schema, base))
    return default_of(one) == default_of(other) or name == "source"


def _shown(entry: Field[Any]) -> str:
    value = default_of(entry)
    if value in (MISSING, "", []) or is_dataclass(value) or (isinstance(value, list) and is_dataclass(value[0])):
        return ""
    text = {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))
    return "`{}`".format(text.replace("|", "\\|"))


if __name__ == "__main__":
    save_text(PAGE, settings_page())
