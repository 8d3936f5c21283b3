"""What was downloaded and what was not, one JSON line a file: the record that makes a later download the same."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from src.errors import DataError
from src.files import save_text

RECORDS_FILE = "downloads.jsonl"


@dataclass(frozen=True)
class Record:
    """Outcome for one file: obtained, unless ``reason`` says why not; beside it, ``sha256`` is what was expected."""

    path: str
    url: str
    sha256: str | None = None
    n_bytes: int | None = None
    reason: str | None = None
    permanent: bool = False


class Records:
    """Outcomes by path, appended to ``downloads.jsonl`` as they come, so that a killed run loses none."""

    def __init__(self, path: Path) -> None:
        """Read earlier outcomes; a last line cut short by a kill is ignored.

        Raises:
            DataError: Another line is damaged.
        """
        self.path = path
        self._lock = threading.Lock()
        self._by_path: dict[str, Record] = {}
        lines = path.read_bytes().splitlines() if path.is_file() else []
        for number, line in enumerate(lines, start=1):
            try:
                record = Record(**json.loads(line))
                self._by_path[record.path] = record
            except (ValueError, TypeError) as error:
                if number < len(lines):
                    raise DataError(
                        f"{path} should hold one record a line, but line {number} is damaged; correct it, or delete "
                        "the file to check every download again."
                    ) from error

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Take new outcomes; the file has no damaged end before, and is sorted by path after."""
        self._rewrite()
        with self.path.open("a", encoding="utf-8") as self._stream:
            yield
        self._rewrite()

    def get(self, path: str) -> Record | None:
        """Outcome for a path, if there is one."""
        return self._by_path.get(path)

    def add(self, record: Record) -> None:
        """Keep an outcome, in place of an earlier one of the same path; safe from several threads."""
        with self._lock:
            self._by_path[record.path] = record
            self._stream.write(_line(record))
            self._stream.flush()

    def summary(self) -> dict[str, Any]:
        """Files obtained, and files not obtained by reason."""
        failed = Counter(str(record.reason) for record in self._by_path.values() if record.reason is not None)
        return {"obtained": len(self._by_path) - failed.total(), "not_obtained": dict(sorted(failed.items()))}

    def _rewrite(self) -> None:
        save_text(self.path, "".join(_line(self._by_path[path]) for path in sorted(self._by_path)))


def _line(record: Record) -> str:
    return json.dumps({k: v for k, v in asdict(record).items() if v not in (None, False)}) + "\n"
