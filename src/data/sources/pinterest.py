"""Pinterest social curation: who repinned what, and under which category most of them filed it.

The original kept pins with more than 10 repins and took the category of a pin's first repin. That threshold cannot give
the paper's 265,252 interactions for 27,080 images (9.8 each), so it is a setting, ``min_repins``.
"""

from pathlib import Path

import duckdb

from src.config.datasets import PinterestConfig
from src.data.sources.raw import RawTables, downloaded_path, item_table, web_address
from src.data.tables.engine import Engine
from src.data.tables.read import read_table, require_file
from src.data.tables.text import Dialect
from src.errors import DataError

# A pin's category is what most of its repins name; among equals, the first by name. Only those with a name have a vote.
VOTES = """
WITH counts AS (SELECT item_id, name, count(*) AS n FROM repins LEFT JOIN names USING (label_id) GROUP BY ALL),
votes AS (
    SELECT item_id, first(name ORDER BY n DESC, name) FILTER (name IS NOT NULL) AS name,
        max(n, 2) FILTER (name IS NOT NULL) AS most, sum(n) AS total
    FROM counts GROUP BY item_id)
SELECT item_id, name, coalesce(most[1], 0) / total AS agreement, coalesce(most[1] = most[2], false) AS tie
FROM votes ORDER BY item_id
"""


def raw_files(cfg: PinterestConfig) -> list[Path]:
    """The three tables; raises ``DataError`` when one is missing."""
    names = (cfg.repins_file, cfg.urls_file, cfg.categories_file)
    return [require_file(Path(cfg.raw_dir) / name, cfg) for name in names]


def read(cfg: PinterestConfig, engine: Engine) -> RawTables:
    """Read repins, image addresses and categories.

    Raises ``DataError``: a file is missing or damaged, or no pin has enough repins.
    """
    repins_path, urls_path, categories_path = raw_files(cfg)
    columns = {"item_id": "pin_id", "user_id": "user_id", "label_id": "category_id", "board_id": "board_id"}
    repins, damaged = _read(engine, repins_path, columns)
    counts = repins.aggregate("item_id, count(*) AS n").filter(f"n >= {cfg.min_repins:d}")
    kept = engine.keep(repins.join(counts.set_alias("counts"), "item_id", how="semi"), "repins")
    dropped = {"repins_that_cannot_be_read": damaged, "repins_of_pins_with_too_few": len(repins) - len(kept)}
    if len(kept) == 0:
        raise DataError(
            f"{repins_path} should hold pins with at least {cfg.min_repins} repins, but holds none; set "
            "dataset.min_repins lower."
        )
    table, _ = _read(engine, categories_path, {"name": "name", "label_id": "label_id"})
    names = engine.keep(table.filter("name <> ''").aggregate("label_id, last(name) AS name"), "names")
    if len(names) == 0:
        raise DataError(
            f"{categories_path} should hold one category a line as name|label_id, but holds none; get it again."
        )
    urls, dropped["addresses_that_cannot_be_read"] = _read(engine, urls_path, {"item_id": "pin_id", "url": "url"})
    known = urls.set_alias("urls").join(kept, "item_id", how="semi").fetchall()
    found = [(pin, url) for pin, text in known if (url := web_address(text))]
    address = dict(reversed(found))  # the first of each pin
    dropped["addresses_repeated"] = len(found) - len(address)
    votes = engine.connection.sql(VOTES).df()
    agreed = votes["name"].notna() & (votes["agreement"] >= cfg.min_agreement)
    items = item_table(
        votes["item_id"],
        image_paths=[[downloaded_path(address[pin])] if pin in address else [] for pin in votes["item_id"]],
        labels=[[name] if enough else None for name, enough in zip(votes["name"], agreed, strict=True)],
    )
    notes = {
        "average_agreement": float(votes["agreement"].mean()),
        "pins_with_agreement_below_half": int((votes["agreement"] < 0.5).sum()),
        "pins_whose_majority_is_a_tie": int(votes["tie"].sum()),
        "pins_without_known_category": int(votes["name"].isna().sum()),
        "pins_below_min_agreement": int((votes["name"].notna() & ~agreed).sum()),
    }
    image_urls = {downloaded_path(url): url for url in address.values()}
    return RawTables(items, kept.select("user_id", "item_id"), dropped, image_urls, notes)


def _read(engine: Engine, path: Path, columns: dict[str, str]) -> tuple[duckdb.DuckDBPyRelation, int]:
    """Lines parted by |, without header and quotes: what to call each column, and its name in messages."""
    wanted = {alias: (name, "source") for alias, name in columns.items()}
    return read_table(engine, path, wanted, Dialect("|", columns=list(columns.values()), quote=""))
