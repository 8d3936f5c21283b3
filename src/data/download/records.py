"""What was downloaded and what was not, one JSON line a file: the record that makes a later download the same."""

import json
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from src.errors import DataError
from src.files import save_text

RECORDS_FILE = "downloads.jsonl"
SAVED_EVERY_S = 5.0


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
    """Outcomes by path, written whole every few seconds; what a kill loses is found again from the files."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock, self._saved = path, threading.Lock(), time.monotonic()
        self._by_path: dict[str, Record] = {}
        for number, line in enumerate(path.read_bytes().splitlines() if path.is_file() else [], start=1):
            try:
                record = Record(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise DataError(
                    f"{path} should hold one record a line, but line {number} is damaged; correct it, or delete the "
                    "file to check every download again."
                ) from error
            self._by_path[record.path] = record

    def get(self, path: str) -> Record | None:
        """Outcome for a path, if there is one."""
        return self._by_path.get(path)

    def add(self, record: Record) -> None:
        """Keep an outcome, in place of an earlier one of the same path; safe from several threads."""
        with self._lock:
            self._by_path[record.path] = record
            if time.monotonic() - self._saved > SAVED_EVERY_S:
                self.save()

    def save(self) -> None:
        """Write the file, sorted by path."""
        records = [asdict(self._by_path[path]).items() for path in sorted(self._by_path)]
        lines = (json.dumps({name: value for name, value in one if value not in (None, False)}) for one in records)
        save_text(self._path, "".join(f"{line}\n" for line in lines))
        self._saved = time.monotonic()

    def summary(self) -> dict[str, Any]:
        """Files obtained, and files not obtained by reason."""
        failed = Counter(str(record.reason) for record in self._by_path.values() if record.reason is not None)
        return {"obtained": len(self._by_path) - failed.total(), "not_obtained": dict(sorted(failed.items()))}
