"""Common cleaning of interactions, and the figures that describe them."""

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
        ``user_id, item_id`` without repetitions, sorted; and what was dropped, as reason -> number of rows.
    """
    table = raw.interactions
    counts = {}
    empty = (table["user_id"] == "") | (table["item_id"] == "")
    counts["interactions_with_an_empty_id"] = int(empty.sum())
    table = table[~empty]
    known = table["item_id"].isin(set(item_ids))
    counts["interactions_with_an_unknown_item"] = int((~known).sum())
    table = table[known]
    distinct = table.drop_duplicates()
    counts["interactions_repeated"] = len(table) - len(distinct)
    n_items = distinct.groupby("user_id")["item_id"].transform("size")
    kept = distinct[n_items >= min_items_per_user]
    counts["users_with_too_few_items"] = distinct["user_id"].nunique() - kept["user_id"].nunique()
    counts["interactions_of_users_with_too_few_items"] = len(distinct) - len(kept)
    kept = kept.sort_values(["user_id", "item_id"]).reset_index(drop=True)
    return kept.astype("str"), counts
