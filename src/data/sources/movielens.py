"""MovieLens in all its formats, recognised by what is there: 1M and 10M as ``.dat``, 20M and later as ``.csv``."""

from pathlib import Path

from src.config.datasets import TIME, MovieLensConfig
from src.data.sources.labels import read_labels
from src.data.sources.raw import RawTables, item_table
from src.data.tables.columns import DATES, at_least, to_numbers
from src.data.tables.engine import Engine
from src.data.tables.read import read_table, require_file
from src.data.tables.text import Dialect
from src.errors import DataError

NO_GENRE = "(no genres listed)"
RATING_COLUMNS = ("userId", "movieId", "rating", "timestamp")


def raw_files(cfg: MovieLensConfig) -> list[Path]:
    """Movies and ratings, in ``raw_dir`` or in a folder called ``ml-*`` below it, as the archives unpack.

    Raises ``DataError``: there is no release, or more than one.
    """
    raw_dir = Path(cfg.raw_dir)
    folders = [raw_dir, *sorted(path for path in raw_dir.glob("ml-*") if path.is_dir())]
    found = [
        path for folder in folders for ending in ("dat", "csv") if (path := folder / f"ratings.{ending}").is_file()
    ]
    if len(found) > 1:
        listed = ", ".join(map(str, found))
        raise DataError(f"dataset.raw_dir should hold one release of MovieLens, but holds {listed}; name one.")
    ratings = found[0] if found else require_file(raw_dir / "ratings.csv", cfg)
    return [require_file(ratings.with_stem("movies"), cfg), ratings]


def read(cfg: MovieLensConfig, engine: Engine) -> RawTables:
    """Read movies and ratings; a film whose genres are not listed has unknown labels.

    Raises ``DataError``: a table is missing or damaged.
    """
    movies_path, path = raw_files(cfg)
    movies, damaged = _read_movies(movies_path, engine)
    dropped = {"movies_that_cannot_be_read": damaged}
    wanted = {"user_id": ("userId", "source"), "item_id": ("movieId", "source"), "rating": ("rating", "source")}
    if cfg.split == TIME:
        wanted["time"] = ("timestamp", "source")
    dialect = Dialect("::", columns=RATING_COLUMNS, quote="") if path.suffix == ".dat" else Dialect(",")
    ratings, dropped["ratings_that_cannot_be_read"] = read_table(engine, path, wanted, dialect)
    ratings, low = at_least(ratings, cfg.min_rating, path, "rating")
    dropped |= {} if cfg.min_rating is None else {"ratings_below_min_rating": low}
    genres = read_labels([text for _, text in movies], "|", movies_path, "genres")
    labels = [None if names and NO_GENRE in names else names for names in genres]
    films = [film for film, _ in movies]
    items = item_table(films, image_paths=[[f"{film}.jpg"] for film in films], labels=labels)
    if cfg.split == TIME:
        ratings = to_numbers(ratings, "time", path, "timestamp", DATES)
    return RawTables(items, ratings.select(*(name for name in wanted if name != "rating")), dropped)


def _read_movies(path: Path, engine: Engine) -> tuple[list[tuple[str, str]], int]:
    """Id and genres of each film, and how many lines cannot be read."""
    if path.suffix == ".csv":
        wanted = {"item_id": ("movieId", "source"), "labels": ("genres", "source")}
        table, _ = read_table(engine, path, wanted, Dialect(",", fill=True))
        return table.fetchall(), 0
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")  # from 10M on
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines = [line.split("::") for line in text.split("\n") if line.strip()]  # some letters of Latin-1 are line ends
    rows = [(cells[0].strip(), cells[-1].strip()) for cells in lines if len(cells) >= 3]  # a title may hold "::"
    return rows, len(lines) - len(rows)
