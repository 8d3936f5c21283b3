"""Sources of raw data: ``dataset.source`` names the module that has ``raw_files`` and ``read``."""

import importlib
import pkgutil
from typing import Any

from src.errors import ConfigError


def get_source(name: str) -> Any:
    """The source's module; raises ``ConfigError`` naming all of them when there is none.

    It has ``raw_files(cfg)``, the files that ``read`` would read, for the fingerprint; and ``read(cfg, engine)``, the
    ``RawTables``.
    """
    known = sorted(module.name for module in pkgutil.iter_modules(__path__))
    module = importlib.import_module(f"{__name__}.{name}") if name in known else None
    if not hasattr(module, "read"):
        sources = [one for one in known if hasattr(importlib.import_module(f"{__name__}.{one}"), "read")]
        raise ConfigError(f"dataset.source should be one of {', '.join(sources)}, but is {name!r}.")
    return module
