"""Common cleaning of interactions, and the figures that describe them."""

import numpy as np
import pandas as pd

from src.data.sources.raw import RawTables


def clean_interactions(
    raw: RawTables, item_ids: pd.Series, min_items_per_user: int
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Keep the distinct interactions of known users and items.

    Args:
        raw: The source's tables; only the interactions are read.
        item_ids: All known items; interactions with others are left out.
        min_items_per_user: Users with fewer distinct known items are left out, once, after everything else.

    Returns:
        ``user_id, item_id``, categorical, sorted, without repetitions; and what was dropped, as reason -> rows.
    """
    user, item = (raw.interactions[name].cat for name in ("user_id", "item_id"))
    user_code, item_code = user.codes.to_numpy(), item.codes.to_numpy()
    given = (user.categories != "")[user_code] & (item.categories != "")[item_code]
    known = item.categories.isin(item_ids)[item_code]
    kept = given & known
    # One whole number a pair: user, then item, in the order of their names, as categories are sorted. Sorted in place,
    # since np.unique needs several times the memory.
    pairs = user_code[kept].astype(np.int64)
    pairs *= len(item.categories)
    pairs += item_code[kept]
    pairs.sort()
    distinct = pairs[np.diff(pairs, prepend=-1) > 0]
    n_repeated = len(pairs) - len(distinct)
    del pairs
    user_idx = (distinct // max(1, len(item.categories))).astype(np.int32)
    distinct -= user_idx.astype(np.int64) * len(item.categories)
    item_idx = distinct.astype(np.int32)
    n_items = np.bincount(user_idx, minlength=len(user.categories))
    enough = (n_items >= min_items_per_user)[user_idx]
    counts = {
        "interactions_with_an_empty_id": int((~given).sum()),
        "interactions_with_an_unknown_item": int((given & ~known).sum()),
        "interactions_repeated": n_repeated,
        "users_with_too_few_items": int(((n_items > 0) & (n_items < min_items_per_user)).sum()),
        "interactions_of_users_with_too_few_items": int((~enough).sum()),
    }
    table = pd.DataFrame(
        {
            "user_id": _named(user_idx[enough], user.categories),
            "item_id": _named(item_idx[enough], item.categories),
        }
    )
    return table, counts


def _named(places: np.ndarray, names: pd.Index) -> pd.Categorical:
    """Categorical of ``names[places]`` without the names that do not occur."""
    occurs = np.bincount(places, minlength=len(names)) > 0
    return pd.Categorical.from_codes((np.cumsum(occurs, dtype=np.int32) - 1)[places], names[occurs])
