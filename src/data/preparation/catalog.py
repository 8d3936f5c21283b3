"""Common cleaning of items: repeated ids, rare labels, image groups, and the parts that folds are made of."""

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from src.config.datasets import DatasetConfig
from src.data.folds import N_PARTS, PARTS_PER_SPLIT, taking_part
from src.errors import DataError
from src.randomness import hash_number


def clean_items(items: pd.DataFrame, cfg: DatasetConfig) -> tuple[pd.DataFrame, dict[str, int]]:
    """Leave out rows without id, merge identical rows of one id, and sort by id; also counts what was dropped.

    Raises ``DataError`` where rows of one id contradict each other, an item of a single-label dataset has several
    labels, an id or label holds a NUL character, or nothing is left.
    """
    empty = items["item_id"] == ""
    counts = {"items_with_an_empty_id": int(empty.sum())}
    items = items[~empty]
    lists = {
        name: items[name].map(lambda own: None if own is None else tuple(own)) for name in ("labels", "image_paths")
    }
    distinct = items[~items.assign(**lists).duplicated()]
    conflicting = distinct.loc[distinct["item_id"].duplicated(), "item_id"].unique()
    if len(conflicting):
        raise DataError(
            f"Each item should have one row, but rows differ for {len(conflicting)} id(s): {_some(conflicting)}. "
            "Merge or remove them."
        )
    counts["items_repeated"] = len(items) - len(distinct)
    if distinct.empty:
        raise DataError("The item table should have at least one item with an id, but has none.")
    named = zip(distinct["item_id"], distinct["labels"], strict=True)
    nul = [repr(item) for item, labels in named if any("\0" in text for text in (item, *(labels or ())))]
    if nul:  # arrays of text would cut it off the end
        raise DataError(f"Ids and labels should hold no NUL character, but those of {len(nul)} do: {_some(nul)}.")
    several = distinct.loc[distinct["labels"].str.len() > 1, "item_id"]
    if cfg.single_label and len(several):
        raise DataError(
            f"With dataset.single_label an item should have one label, but {len(several)} have more: "
            f"{_some(several)}. Correct them or set dataset.single_label=false."
        )
    return distinct.sort_values("item_id").reset_index(drop=True), counts


def filter_labels(items: pd.DataFrame, min_items_per_label: int) -> tuple[pd.DataFrame, list[str], dict[str, int]]:
    """Drop labels of too few items; an item that loses all of its labels is then known to have none.

    Returns the items, the labels that are left in the order of all label columns, and the item counts of the others.
    Raises ``DataError`` where there are labels, but none is left.
    """
    counts, every = count_labels(items), sorted(set(items["labels"].explode().dropna()))
    kept = [name for name in every if counts[name] >= max(1, min_items_per_label)]
    if every and not kept:
        raise DataError(
            f"At least one label should have {max(1, min_items_per_label)} item(s) with image, but none of "
            f"{len(every)} has. Check dataset.labels_column, images_dir and min_items_per_label."
        )
    dropped = {name: counts[name] for name in every if name not in kept}
    return _change_labels(items, {name: name for name in kept}), kept, dropped


def merge_rare_labels(items: pd.DataFrame, least: int, levels: str | None) -> tuple[pd.DataFrame, dict[str, str]]:
    """Replace each label of fewer than ``least`` items with its parent, the deepest first; also returns the parents.

    ``levels`` parts the levels of a label ("Dolls + Clothes" has the parent "Dolls"); None: there are none.

    Source: original code; paper, section 4.1.1.
    """
    merged: dict[str, str] = {}
    names = set(items["labels"].explode().dropna()) if levels else set()
    for depth in range(max((name.count(levels) for name in names), default=0), 0, -1):
        counts = count_labels(items)
        names = set(items["labels"].explode().dropna())
        rare = {name for name in names if name.count(levels) == depth and counts[name] < least}
        parents = {name: name.rpartition(levels)[0] for name in sorted(rare)}
        merged |= parents
        items = _change_labels(items, {name: name for name in names} | parents)
    return items, merged


def count_labels(items: pd.DataFrame) -> Counter[str]:
    """Number of items of each label, of those that take part."""
    return Counter(items.loc[taking_part(items), "labels"].explode().dropna())


def _change_labels(items: pd.DataFrame, new: Mapping[str, str]) -> pd.DataFrame:
    """Items with other names for their labels; a label without new name is dropped."""
    labels = [None if own is None else sorted({new[name] for name in own if name in new}) for own in items["labels"]]
    return items.assign(labels=pd.Series(labels, items.index, object))


def assign_groups(items: pd.DataFrame, digests: dict[str, str]) -> pd.DataFrame:
    """Set ``image_group`` so that items that share an image or a given group share it, and ``part`` from its hash.

    Groups are closed under both relations: a chain of items, each sharing something with the next, is one group. Its
    name is that of its smallest given group or else image, so it does not depend on what other items there are.

    ``image_paths`` are usable images, and ``digests`` has the SHA-256 of each path's content.
    """
    keys = []
    for item_id, paths, group in zip(items["item_id"], items["image_paths"], items["image_group"], strict=True):
        own = [f"0:{group}"] if isinstance(group, str) else []
        own += [f"1:{digests[path][:16]}" for path in paths]
        keys.append(own or [f"2:{item_id}"])
    item = np.repeat(np.arange(len(keys)), [len(own) for own in keys])
    key, names = pd.factorize(np.array([one for own in keys for one in own], object), sort=True)
    size = len(keys) + len(names)
    links = sparse.coo_matrix((np.ones(len(key), bool), (item, len(keys) + key)), shape=(size, size))
    component = connected_components(links, directed=False)[1]
    first = pd.Series(key).groupby(component[item]).min()
    prefix = {"0": "", "1": "image-", "2": "item-"}
    groups = [prefix[name[0]] + name[2:] for name in names[first[component[: len(keys)]]]]
    part = pd.Series([part_of(group) for group in groups], index=items.index, dtype="int8")
    return items.assign(image_group=groups, part=part)


def split_by_time(items: pd.DataFrame, first_met: Mapping[str, float]) -> pd.DataFrame:
    """Change ``part`` so that fold 0 tests on the groups that were met last and validates on those before.

    A group is as old as its oldest item; items that were never met are train items.
    """
    active = items[taking_part(items)]
    groups = active["item_id"].map(first_met).astype(float).groupby(active["image_group"]).agg(["min", "size"])
    newest = groups.fillna({"min": -np.inf}).sort_values("min", ascending=False, kind="stable")
    share = newest["size"].cumsum() / len(active)
    size = PARTS_PER_SPLIT / N_PARTS
    met = np.isfinite(newest["min"])
    part = np.select([met & (share <= size), met & (share <= 2 * size)], [0, PARTS_PER_SPLIT], 2 * PARTS_PER_SPLIT)
    part_of_group = pd.Series(part, newest.index)
    parts = items["image_group"].map(part_of_group).fillna(2 * PARTS_PER_SPLIT).astype("int8")
    return items.assign(part=parts)


def part_of(image_group: str) -> int:
    """The part, 0 to ``N_PARTS`` - 1, that a group belongs to on every machine and in every release."""
    return hash_number(image_group) % N_PARTS


def _some(names: Iterable[str], most: int = 5) -> str:
    listed = sorted(names)
    return ", ".join(listed[:most]) + (", ..." if len(listed) > most else "")
