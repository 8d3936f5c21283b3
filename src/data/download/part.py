"""What earlier attempts left of a file, and the note beside it that lets another attempt go on from there."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import requests


class Begun(NamedTuple):
    """Bytes that are there, what tells the server which version they are of, and the size when whole, if known."""

    size: int = 0
    validator: str = ""
    whole_size: int | None = None


@dataclass(frozen=True)
class Part:
    """The unfinished file ``path`` of ``url``."""

    path: Path
    url: str

    @classmethod
    def of(cls, target: Path, url: str) -> Self:
        """The unfinished file beside ``target``."""
        return cls(target.with_name(f".{target.name}.part"), url)

    def begun(self) -> Begun:
        """What can be continued; nothing, where the version is not known or the address is another one."""
        try:
            note = json.loads(self._note.read_text())
            if note["url"] == self.url and note["validator"]:
                return Begun(self.path.stat().st_size, note["validator"], note["whole_size"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return Begun()

    def note(self, answer: requests.Response, whole_size: int | None) -> None:
        """Remember which version of the file ``answer`` begins."""
        etag = answer.headers.get("ETag", "")  # a weak one, W/"...", does not tell bytes apart
        validator = etag if etag.startswith('"') else answer.headers.get("Last-Modified", "")
        self._note.write_text(json.dumps({"url": self.url, "validator": validator, "whole_size": whole_size}))

    def discard(self) -> None:
        """Delete the bytes, then their note: it must never tell of another version's bytes."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    @property
    def _note(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")
