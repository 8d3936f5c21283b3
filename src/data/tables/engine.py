"""DuckDB as the engine of tables: bounded memory, and no file in reach but those that it was given."""

import itertools
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from src.errors import DataError
from src.machine import n_cores, total_memory

SHARE_OF_MEMORY = 0.25
FOLDER = ".tables."  # begins the name of an engine's folder


class Engine:
    """A connection, and a folder of its own for what does not fit into memory and for links to the raw files.

    Files are opened by such a link alone, so that no character of a path, such as ``*``, means anything to DuckDB.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self.connection, self._folder, self._numbers = connection, folder, itertools.count()

    def temporary(self) -> Path:
        """Path of a new file that DuckDB may open and that goes with the engine."""
        return self._folder / f"t{next(self._numbers)}"

    def link(self, path: Path) -> Path:
        """A harmless path by which DuckDB may open one of the files that the engine was opened with."""
        link = self.temporary()
        link.symlink_to(path.resolve())
        return link

    def create(self, query: str, parameters: dict[str, Any] | None = None) -> duckdb.DuckDBPyRelation:
        """What ``query`` gives, computed now and kept in a temporary table."""
        name = self.temporary().name
        self.connection.execute(f"CREATE TEMP TABLE {name} AS {query}", parameters)
        return self.connection.table(name)

    def keep(self, table: duckdb.DuckDBPyRelation | pa.Table, name: str) -> duckdb.DuckDBPyRelation:
        """Compute a table now, and name it for queries."""
        relation = self.connection.from_arrow(table) if isinstance(table, pa.Table) else table
        relation.create_view(f"{name}_view")
        kept = self.create(f"FROM {name}_view")
        kept.create_view(name)
        return kept


@contextmanager
def open_engine(files: Sequence[Path], parent: Path, memory_gb: float | None = None) -> Iterator[Engine]:
    """Open an engine that may read ``files``, with ``memory_gb`` (None: a quarter of the machine's).

    Its folder in ``parent``, on a disk with room for the interactions, is deleted at the end; one process at a time may
    use ``parent``. Raises ``DataError`` where that memory does not suffice.
    """
    memory = memory_gb or SHARE_OF_MEMORY * total_memory() / 1e9
    settings: dict[str, Any] = {"memory_limit": f"{memory:.3f}GB", "threads": n_cores()}
    settings |= {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    for leftover in parent.glob(f"{FOLDER}*"):  # of a killed process
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=FOLDER, dir=parent) as folder:
        settings["temp_directory"] = f"{folder}/spilled"
        with duckdb.connect(config=settings) as connection:
            connection.execute("SET allowed_paths = $1", [[str(path.resolve()) for path in files]])
            connection.execute("SET allowed_directories = $1", [[str(Path(folder).resolve())]])
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            try:
                yield Engine(connection, Path(folder).resolve())
            except duckdb.OutOfMemoryException as error:
                raise DataError(
                    f"The tables should fit memory_gb={memory:.3g}, but do not ({brief(error)}); set memory_gb higher."
                ) from error


def brief(error: Exception) -> str:
    """The first line of an error."""
    return str(error).strip().partition("\n")[0][:200]
