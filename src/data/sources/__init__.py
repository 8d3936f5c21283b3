"""Sources of raw data, by the name that ``dataset.source`` gives."""

from src.data.sources import amazon, movielens, pinterest, tabular
from src.data.sources.raw import RawTables, Source
from src.errors import ConfigError

__all__ = ["SOURCES", "RawTables", "Source", "get_source"]

SOURCES: dict[str, Source] = {
    "amazon": Source(amazon.raw_files, amazon.read),
    "movielens": Source(movielens.raw_files, movielens.read),
    "pinterest": Source(pinterest.raw_files, pinterest.read),
    "tabular": Source(tabular.raw_files, tabular.read),
}


def get_source(name: str) -> Source:
    """The source called ``name``; raises ``ConfigError`` naming all of them when there is none."""
    if name not in SOURCES:
        raise ConfigError(f"dataset.source should be one of {', '.join(sorted(SOURCES))}, but is {name!r}.")
    return SOURCES[name]
