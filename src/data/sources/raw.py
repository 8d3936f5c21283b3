"""What a source hands over, and where images come from."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pandas as pd

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".avif", ".bmp", ".tif", ".tiff")
COLUMNS = ("image_paths", "labels", "values", "image_group")
ADDRESS = re.compile(r"https?://|//(?=[^/])", re.IGNORECASE)


@dataclass(frozen=True)
class RawTables:
    """The two common tables as a source reads them, before any common cleaning.

    Attributes:
        items: ``item_id`` (str), ``image_paths`` (list of str below images_dir), ``labels`` (list of str; None:
            unknown; empty: known to have none), ``values`` (tuple of float in the order of the sorted labels; None:
            unknown, or no regression) and ``image_group`` (str, or None); ids may still repeat or be empty.
        interactions: ``user_id`` and ``item_id``, text; pairs may still repeat, be empty, or name unknown items.
            Perhaps ``time``, DOUBLE: larger is later, null unknown.
    """

    items: pd.DataFrame
    interactions: duckdb.DuckDBPyRelation | None
    dropped: dict[str, int] = field(default_factory=dict)  # what the source itself left out, as reason -> count
    image_urls: dict[str, str] = field(default_factory=dict)  # where an image can be downloaded from, by path
    notes: dict[str, Any] = field(default_factory=dict)  # other figures for the report


def item_table(item_id: Sequence[str], **columns: Sequence[Any]) -> pd.DataFrame:
    """``RawTables.items``; a column that is not given is null."""
    nulls = [None] * len(item_id)
    given = {"item_id": item_id} | {name: columns.get(name, nulls) for name in COLUMNS}
    given["image_paths"] = [paths or [] for paths in given["image_paths"]]
    return pd.DataFrame({name: pd.Series(own, range(len(nulls)), object) for name, own in given.items()})


def web_address(text: str) -> str | None:
    """An address on the web, however its scheme is written (``HTTP://``, ``//host``); None: a path."""
    found = ADDRESS.match(text)
    return (found[0].lower() if ":" in found[0] else "https://") + text[found.end() :] if found else None


def downloaded_path(url: str) -> str:
    """Path below ``images_dir`` of an image from the web.

    It is made of the address's hash, so items with one address share a file, and no address can choose its file's name.
    """
    name = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    path = re.split(r"[?#]", url)[0].lower()
    return f"{name[:2]}/{name}" + next((ending for ending in IMAGE_ENDINGS if path.endswith(ending)), ".img")
