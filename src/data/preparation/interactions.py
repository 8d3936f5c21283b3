"""Common cleaning of interactions: sorted out of core, written as whole numbers in one pass."""

import difflib
import logging
import re
import unicodedata
from bisect import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from src.artifacts import INTERACTION_COLUMNS, INTERACTIONS_FILE, USER_ID, USERS_FILE
from src.data.tables.engine import Engine, brief
from src.errors import DataError
from src.files import atomic_path

logger = logging.getLogger(__name__)

ROWS = 1 << 20  # read and written at a time
EMPTY, UNKNOWN = -2, -1  # in place of an item's number, as in the query
SORTED = """
SELECT user_id, CASE WHEN item_id = '' THEN -2 ELSE coalesce(item_idx, -1) END::INTEGER AS item_idx
FROM pairs LEFT JOIN known USING (item_id) ORDER BY user_id, item_idx
"""
COMMONEST_UNKNOWN = """
SELECT item_id, count(*) AS n FROM pairs ANTI JOIN known USING (item_id) WHERE item_id <> '' AND user_id <> ''
GROUP BY ALL ORDER BY n DESC, item_id LIMIT 5
"""
DROPPED = (
    "interactions_with_an_empty_id",
    "interactions_with_an_unknown_item",
    "interactions_repeated",
    "users_with_too_few_items",
    "interactions_of_users_with_too_few_items",
)
WORTH_SAYING = 0.01  # a larger share is said on the console
DAMAGE = ("cells", "cannot_be_read", "empty_id")
INVISIBLE = re.compile(r"[\s\u200b-\u200f\u202a-\u202e\u2060\ufeff]+")

GUESSES: dict[str, Callable[[str], str]] = {
    "a decimal point": lambda text: re.sub(r"\.0+$", "", text),
    "leading zeros": lambda text: text.lstrip("0"),
    "upper and lower case": str.casefold,
    "blanks or invisible characters": lambda text: INVISIBLE.sub("", text),
    "the Unicode form of letters": lambda text: unicodedata.normalize("NFKC", text),
    "quotes": lambda text: text.strip("\"'`"),
    "a file's ending or folder": lambda text: re.sub(r"^.*[/\\]|\.\w{1,5}$", "", text),
    "a prefix or suffix without digits": lambda text: re.sub(r"^\D+|\D+$", "", text),
}
PAIR_TYPE = pa.schema([(name, pa.int32()) for name in INTERACTION_COLUMNS])
USER_TYPE = pa.schema([(USER_ID, pa.string())])


@dataclass
class Cleaned:
    """Interacting users of each item, [n_items]; users left; interactions as they came; rows left out, by reason."""

    users_of_item: np.ndarray
    n_users: int
    n_read: int
    dropped: dict[str, int]

    @property
    def n_interactions(self) -> int:
        """Distinct interactions that are left."""
        return int(self.users_of_item.sum())


def write_interactions(
    pairs: duckdb.DuckDBPyRelation | None,
    item_ids: Sequence[str],
    min_items_per_user: int,
    engine: Engine,
    target: Path,
) -> Cleaned:
    """Write the distinct interactions of known users and items, and the users, both sorted by name, to ``target``.

    ``pairs`` are ``user_id, item_id`` as text. ``item_ids`` are in the order of their numbers. Users with fewer
    distinct known items are left out, once, after everything else. Raises ``DataError`` where there are interactions,
    but none is left, or they cannot be read.
    """
    cleaned = Cleaned(np.zeros(len(item_ids), np.int64), 0, 0, dict.fromkeys(DROPPED, 0))
    with (
        atomic_path(target / INTERACTIONS_FILE) as pairs_path,
        atomic_path(target / USERS_FILE) as users_path,
        parquet.ParquetWriter(pairs_path, PAIR_TYPE, write_page_checksum=True) as pairs_file,
        parquet.ParquetWriter(users_path, USER_TYPE, write_page_checksum=True) as users_file,
    ):
        for rows in _sorted(pairs, item_ids, engine):
            names, items = rows.column(0).combine_chunks(), rows.column(1).to_numpy()
            empty = (items == EMPTY) | pc.equal(names, "").to_numpy(zero_copy_only=False)
            known = ~empty & (items != UNKNOWN)
            lost = [empty, ~empty & ~known]
            names, items = names.filter(known), items[known]
            first = np.ones(len(items), bool)
            first[1:] = pc.not_equal(names[1:], names[:-1]).to_numpy(zero_copy_only=False)
            distinct = first | (np.diff(items, prepend=-1) != 0)
            user, items = np.cumsum(first)[distinct] - 1, items[distinct]
            enough = np.bincount(user, minlength=int(first.sum())) >= min_items_per_user
            kept = enough[user]
            numbers = cleaned.n_users + np.cumsum(enough) - 1
            users_file.write_table(pa.table([names.filter(first).filter(enough)], USER_TYPE))
            pairs_file.write_table(pa.table([numbers[user][kept].astype(np.int32), items[kept]], PAIR_TYPE))
            cleaned.users_of_item += np.bincount(items[kept], minlength=len(item_ids))
            cleaned.n_users += int(enough.sum())
            cleaned.n_read += len(rows)
            for reason, mask in zip(DROPPED, [*lost, ~distinct, ~enough, ~kept], strict=True):
                cleaned.dropped[reason] += int(mask.sum())
    if cleaned.n_read:
        _say_unmatched(cleaned, item_ids, engine)
    return cleaned


def _sorted(pairs: duckdb.DuckDBPyRelation | None, item_ids: Sequence[str], engine: Engine) -> Iterator[pa.Table]:
    """All interactions, with the numbers of their items, in pieces of whole users that depend on the rows alone."""
    if pairs is None:
        return
    numbers = pa.array(np.arange(len(item_ids), dtype=np.int32))
    engine.keep(pa.table({"item_id": pa.array(item_ids, pa.string()), "item_idx": numbers}), "known")
    pairs.create_view("pairs")
    try:
        batches = engine.connection.sql(SORTED).to_arrow_reader(ROWS)
        held, size = batches.schema.empty_table(), ROWS
        for batch in batches:
            held = pa.concat_tables([held, pa.Table.from_batches([batch])])
            while len(held) >= size:
                names = held.column(0)[:size].combine_chunks()
                whole = pc.index(names, names[-1]).as_py()  # the last user may go on
                if whole:
                    yield held[:whole]
                    held, size = held[whole:], ROWS
                else:
                    size *= 2
        if len(held):
            yield held
    except (duckdb.Error, pa.ArrowInvalid) as error:
        raise DataError(
            f"The interactions cannot be read ({brief(error)}); get their table again or, where memory was short, set "
            "memory_gb higher."
        ) from error


def _say_unmatched(cleaned: Cleaned, item_ids: Sequence[str], engine: Engine) -> None:
    """Say it where many interactions are lost; raises ``DataError`` where all are."""
    n_read, n_unknown, text = cleaned.n_read, cleaned.dropped[DROPPED[1]], ""
    if n_unknown > WORTH_SAYING * n_read:
        text = f"{n_unknown} of {n_read} interactions ({n_unknown / n_read:.1%}) name an item not in the item table: "
        text += describe_unmatched(engine.connection.sql(COMMONEST_UNKNOWN).fetchall(), item_ids)
    if not cleaned.n_interactions:
        why = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in cleaned.dropped.items() if count)
        raise DataError(
            f"At least one of {n_read} interactions should be left, but none is: {why}. {text} Correct the ids, or set "
            "dataset.interactions_file=null to do without."
        )
    if text:
        logger.warning("%s", text)


def describe_unmatched(commonest: Sequence[tuple[str, int]], known: Sequence[str]) -> str:
    """The commonest unknown ids (with counts) beside their nearest known ones (sorted), and why they may differ."""
    near: dict[str, tuple[str, str]] = {}
    for reason, simplify in GUESSES.items():
        missing = {simplify(one): one for one, _ in commonest if one not in near and simplify(one)}
        for other in known if missing else ():
            if (one := missing.get(simplify(other))) is not None:
                near.setdefault(one, (other, reason))
    shown = []
    for one, count in commonest:
        place = bisect(known, one)
        others = difflib.get_close_matches(one, known[max(0, place - 200) : place + 200], n=1)
        nearest = near[one][0] if one in near else next(iter(others), None)
        shown.append(
            f"{one!r} ({count} times, " + ("none known is near)" if nearest is None else f"nearest known {nearest!r})")
        )
    reasons = " and ".join(dict.fromkeys(reason for _, reason in near.values()))
    guess = f"the ids differ in {reasons}" if reasons else "the item table lacks these items"
    return f"the commonest are {', '.join(shown)}. Perhaps {guess}."


def warn_of_losses(dropped: Mapping[str, int], n_read: int) -> None:
    """Say which kinds of rows were lost to damage, where they are many."""
    for reason, count in dropped.items():
        if any(mark in reason for mark in DAMAGE) and count > WORTH_SAYING * (n_read + count):
            logger.warning("%d %s, beside %d interactions that were read.", count, reason.replace("_", " "), n_read)
