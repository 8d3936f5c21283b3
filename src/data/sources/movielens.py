"""MovieLens in all its formats, recognised by what is there: 1M and 10M as ``.dat``, 20M and later as ``.csv``."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from src.config import MovieLensConfig
from src.data.sources.pairs import Delimited, read_columns
from src.data.sources.raw import RawTables, as_text, read_table, require_file
from src.errors import DataError

NO_GENRE = "(no genres listed)"


class Files(NamedTuple):
    """The two tables of one release."""

    movies: Path
    ratings: Path


def raw_files(cfg: MovieLensConfig) -> list[Path]:
    """The two tables; raises ``DataError`` when there is no release, or more than one."""
    return list(find_release(cfg))


def find_release(cfg: MovieLensConfig) -> Files:
    """Look for the two tables in ``raw_dir`` and in folders called ``ml-*`` below it, as the archives unpack.

    Raises:
        DataError: There is no release, or more than one.
    """
    raw_dir = Path(cfg.raw_dir)
    folders = [raw_dir, *sorted(path for path in raw_dir.glob("ml-*") if path.is_dir())]
    found = [
        files
        for folder in folders
        for ending in ("dat", "csv")
        if (files := Files(folder / f"movies.{ending}", folder / f"ratings.{ending}")).ratings.is_file()
    ]
    if len(found) > 1:
        listed = ", ".join(str(files.ratings) for files in found)
        raise DataError(f"dataset.raw_dir should hold one release of MovieLens, but holds {listed}; name one.")
    if not found:
        require_file(raw_dir / "ratings.csv", cfg)
    require_file(found[0].movies, cfg)
    return found[0]


def read(cfg: MovieLensConfig) -> RawTables:
    """Read movies and ratings; a film whose genres are not listed has unknown labels.

    Raises:
        DataError: A table is missing or damaged.
    """
    files = find_release(cfg)
    movies, dropped = _read_movies(files.movies)
    ratings, damaged = _read_ratings(files.ratings)
    dropped["ratings_that_cannot_be_read"] = damaged
    if cfg.min_rating is not None:
        high = ratings["rating"] >= cfg.min_rating  # a missing rating is not
        dropped["ratings_below_min_rating"] = int((~high).sum())
        ratings = ratings[high]
    items = pd.DataFrame(
        {
            "item_id": movies["movieId"],
            "image_path": movies["movieId"] + ".jpg",
            "labels": [_genres(text) for text in movies["genres"]],
            "image_group": None,
        },
        dtype=object,
    )
    return RawTables(items, ratings[["user_id", "item_id"]], dropped)


def _genres(text: str) -> list[str] | None:
    names = {name.strip() for name in text.split("|")} - {""}
    return None if not names or NO_GENRE in names else sorted(names)


def _read_movies(path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    if path.suffix == ".csv":
        columns = {"movieId": "source", "genres": "source"}
        return read_table(path, columns).apply(as_text), {"movies_that_cannot_be_read": 0}
    rows, damaged = [], 0
    for line in _decode(path).split("\n"):  # splitlines would part a title at some letters of Latin-1
        cells = line.split("::")
        if len(cells) >= 3:  # a title may hold the separator
            rows.append((cells[0].strip(), cells[-1].strip()))
        elif line.strip():
            damaged += 1
    return pd.DataFrame(rows, columns=["movieId", "genres"], dtype=object), {"movies_that_cannot_be_read": damaged}


def _read_ratings(path: Path) -> tuple[pd.DataFrame, int]:
    if path.suffix == ".csv":
        table, damaged = read_columns(path, Delimited(), ("userId", "movieId"), ("rating",))
        return table.rename(columns={"userId": "user_id", "movieId": "item_id"}), damaged
    # Read as parted by single colons, so that every second cell is empty: no reader of text tables takes "::".
    columns = ("user_id", "empty1", "item_id", "empty2", "rating", "empty3", "timestamp")
    layout = Delimited(":", columns, quoted=False)
    return read_columns(path, layout, ("user_id", "item_id"), ("rating",))


def _decode(path: Path) -> str:
    """Text of a ``.dat`` file: UTF-8 from 10M on, Latin-1 before."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")
