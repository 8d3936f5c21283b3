"""CF models, one file each: its settings and what they build. Nothing heavy is imported before a model is built."""

import importlib
import pkgutil


def import_all() -> None:
    """Import every module of this package, so that the schemas of all CF models are known."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
