"""Schemas by config group, so that an unknown or mistyped key fails when the command starts.

This package must not import torch: ``--help`` and config errors should appear at once.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from src.config.setting import check
from src.errors import ConfigError

Schema = TypeVar("Schema", bound=type)

STAGE = "stage"
SCHEMAS: dict[str, dict[str, type]] = defaultdict(dict)
"""Each config group's schemas by name; those of the entry scripts under ``STAGE``."""


def schema(group: str, name: str) -> Callable[[Schema], Schema]:
    """Register a dataclass as ``base_<name>`` of a config group, or, for ``STAGE``, of ``main_<name>.py``."""

    def register(cls: Schema) -> Schema:
        SCHEMAS[group][name] = cls
        return cls

    return register


def register_schemas() -> None:
    """Register all schemas with Hydra; the YAML files of ``configs/`` name them in their defaults lists."""
    store = ConfigStore.instance()
    for group, schemas in SCHEMAS.items():
        for name, node in schemas.items():
            store.store(group=None if group == STAGE else group, name=f"base_{name}", node=node)
    # Hydra copies the whole store for each group that --help names; sharing it makes --help three times as fast.
    ConfigStore.__deepcopy__ = lambda store, memo: store  # type: ignore[attr-defined]


def to_dataclass(cfg: DictConfig) -> Any:
    """Turn a composed config into its dataclass; raises ``ConfigError`` when a value is missing or not allowed."""
    missing = OmegaConf.missing_keys(cfg)
    if missing:
        raise ConfigError(f"No value for {', '.join(sorted(missing))}; set it on the command line or in a YAML file.")
    result = OmegaConf.to_object(cfg)
    check(result)
    return result
