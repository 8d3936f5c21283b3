"""Images that look alike though their files differ: counted in the report, since they may straddle a split."""

from typing import Any

import numpy as np
from PIL import Image
from scipy import sparse
from scipy.sparse.csgraph import connected_components

MAX_DISTANCE = 3  # differing bits of 64
BANDS = MAX_DISTANCE + 1  # two hashes that differ in at most 3 bits agree in at least one of 4 bands
BLOCK_PAIRS = 4_000_000


def difference_hash(image: Image.Image) -> int:
    """64 bits that say where an image grows brighter from left to right, in 8 rows of 9 columns.

    Source: N. Krawetz, "Kind of like that" (2013).
    """
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    return int.from_bytes(np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes(), "big")


def group_lookalikes(hashes: np.ndarray) -> np.ndarray:
    """Group images whose hashes differ in at most ``MAX_DISTANCE`` bits, chains included.

    Args:
        hashes: One difference hash an image, [n] uint64.

    Returns:
        Group of each image, [n] int, numbered from 0.
    """
    distinct, place = np.unique(hashes, return_inverse=True)
    left, right = [], []
    for band in range(BANDS):
        shift = np.uint64(64 // BANDS * band)
        value = (distinct >> shift) & np.uint64(2 ** (64 // BANDS) - 1)
        order = np.argsort(value, kind="stable")
        starts = np.flatnonzero(np.diff(value[order], prepend=value[order][:1] + np.uint64(1)))
        for members in np.split(order, starts[1:]):
            for first, second in _pairs(distinct, members):
                left.append(first)
                right.append(second)
    edges = np.concatenate(left or [np.empty(0, int)]), np.concatenate(right or [np.empty(0, int)])
    n = len(distinct)
    graph = sparse.coo_matrix((np.ones(len(edges[0]), bool), edges), shape=(n, n))
    groups: np.ndarray = connected_components(graph, directed=False)[1][place]
    return groups


def describe_lookalikes(names: list[str], hashes: np.ndarray, most: int) -> dict[str, Any]:
    """Count the images that look like another one, and list some groups.

    Args:
        names: One name an image content, [n].
        hashes: Their difference hashes, [n] uint64.
        most: Longest list of groups.
    """
    if not names:
        return {"images": 0, "groups": 0, "examples": []}
    groups = group_lookalikes(hashes)
    sizes = np.bincount(groups)
    several = np.flatnonzero(sizes > 1)
    shown = [[names[row] for row in np.flatnonzero(groups == group)[:5]] for group in several[:most]]
    return {"images": int(sizes[several].sum()), "groups": len(several), "examples": shown}


def _pairs(hashes: np.ndarray, members: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs among ``members`` within the distance, compared in blocks of bounded size."""
    found = []
    step = max(1, BLOCK_PAIRS // max(1, len(members)))
    for start in range(0, len(members) if len(members) > 1 else 0, step):
        block = members[start : start + step]
        distance = np.bitwise_count(hashes[block][:, None] ^ hashes[members][None, :])
        first, second = np.nonzero(distance <= MAX_DISTANCE)
        keep = block[first] < members[second]
        found.append((block[first[keep]], members[second[keep]]))
    return found
