"""MovieLens in all its formats, recognised by what is there: 1M and 10M as ``.dat``, 20M and later as ``.csv``."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from src.config.datasets import MovieLensConfig
from src.data.sources.raw import RawTables
from src.data.tables.columns import as_text, at_least
from src.data.tables.engine import Engine
from src.data.tables.read import read_table, require_file
from src.data.tables.text import Dialect
from src.errors import DataError

NO_GENRE = "(no genres listed)"
RATING_COLUMNS = ("userId", "movieId", "rating", "timestamp")


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


def read(cfg: MovieLensConfig, engine: Engine) -> RawTables:
    """Read movies and ratings; a film whose genres are not listed has unknown labels.

    Raises:
        DataError: A table is missing or damaged.
    """
    files = find_release(cfg)
    movies, damaged = _read_movies(files.movies, engine)
    dropped = {"movies_that_cannot_be_read": damaged}
    wanted = {"user_id": ("userId", "source"), "item_id": ("movieId", "source"), "rating": ("rating", "source")}
    dialect = Dialect("::", columns=RATING_COLUMNS, quote="") if files.ratings.suffix == ".dat" else Dialect(",")
    ratings, dropped["ratings_that_cannot_be_read"] = read_table(engine, files.ratings, wanted, dialect)
    ratings, low = at_least(ratings.select(*map(as_text, wanted)), cfg.min_rating, files.ratings, "rating")
    dropped |= {} if cfg.min_rating is None else {"ratings_below_min_rating": low}
    rows = [(film, f"{film}.jpg", _genres(text), None) for film, text in movies]
    items = pd.DataFrame(rows, columns=["item_id", "image_path", "labels", "image_group"], dtype=object)
    return RawTables(items, ratings.select("user_id", "item_id"), dropped)


def _genres(text: str) -> list[str] | None:
    names = {name.strip() for name in text.split("|")} - {""}
    return None if not names or NO_GENRE in names else sorted(names)


def _read_movies(path: Path, engine: Engine) -> tuple[list[tuple[str, str]], int]:
    """Id and genres of each film, and how many lines cannot be read."""
    if path.suffix == ".csv":
        wanted = {"item_id": ("movieId", "source"), "labels": ("genres", "source")}
        table, _ = read_table(engine, path, wanted, Dialect(",", fill=True))
        return table.select(*map(as_text, wanted)).fetchall(), 0
    rows, damaged = [], 0
    for line in _decode(path).split("\n"):  # splitlines would part a title at some letters of Latin-1
        cells = line.split("::")
        if len(cells) >= 3:  # a title may hold the separator
            rows.append((cells[0].strip(), cells[-1].strip()))
        elif line.strip():
            damaged += 1
    return rows, damaged


def _decode(path: Path) -> str:
    """Text of a ``.dat`` file: UTF-8 from 10M on, Latin-1 before."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")
