"""The image files that somebody names; what is an image is decided by bytes, not by endings. Needs Pillow alone."""

import os
from collections.abc import Iterator
from mimetypes import guess_type
from pathlib import Path

from PIL import Image, UnidentifiedImageError

BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}


def find_images(source: Path, formats: tuple[str, ...]) -> Iterator[Path]:
    """All files of a folder and those below it, links followed; those that a text file lists; or the one file named.

    A list has one path a line, relative to its folder, perhaps quoted or with backslashes, in UTF-8 or UTF-16. None is
    held in memory. The order within a folder is the file system's. Files that are no images are among them.
    """
    if _is_folder(source):
        return _walk(source, set())
    return _listed(source) if _is_list(source, formats) else iter([source])


def as_text(path: Path) -> str:
    """A path as text that any file can hold: bytes that are no UTF-8 as backslash escapes."""
    return str(path).encode(errors="backslashreplace").decode()


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # such as a name that is too long
        return False


def _walk(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """``seen`` has the folders that were entered, so that links in a circle end."""
    try:
        status = folder.stat()
        entries = os.scandir(folder)
    except OSError:
        yield folder  # has a row with the reason
        return
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    with entries:
        for entry in entries:
            path = Path(entry.path)
            if _is_folder(path):
                yield from _walk(path, seen)
            else:
                yield path


def _is_list(source: Path, formats: tuple[str, ...]) -> bool:
    """Whether a file is text, and neither an image nor called like one."""
    if (guess_type(source.name)[0] or "").startswith("image/"):
        return False
    try:
        if not source.is_file():
            return False
        with Image.open(source, formats=formats):
            return False
    except UnidentifiedImageError:
        with source.open("rb") as stream:
            head = stream.read(4096)
        return head[:2] in BYTE_ORDER_MARKS or b"\0" not in head
    except Exception:  # an image that is refused
        return False


def _listed(source: Path) -> Iterator[Path]:
    with source.open("rb") as stream:
        head = stream.read(3)
    encoding = BYTE_ORDER_MARKS.get(head[:2]) or BYTE_ORDER_MARKS.get(head, "utf-8")
    exactly = "replace" if encoding == "utf-16" else "surrogateescape"
    with source.open(encoding=encoding, errors=exactly) as lines:
        for line in lines:
            if text := line.strip():
                yield _as_written_or_meant(source.parent, text)


def _as_written_or_meant(folder: Path, text: str) -> Path:
    """The file that a line names as it stands, or else without quotes, with slashes, or in a Windows code page."""
    bare = text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
    western = bare.encode(errors="surrogateescape").decode("cp1252", errors="replace")
    readings = (text, bare, bare.replace("\\", "/"), western, western.replace("\\", "/"))
    return next((folder / name for name in readings if os.path.lexists(folder / name)), folder / readings[2])
