"""Images that look alike though their files differ: counted in the report, since they may straddle a split."""

from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from PIL import Image
from scipy import sparse
from scipy.sparse.csgraph import connected_components

MAX_DISTANCE = 3  # differing bits of 64
# Two hashes that differ in at most 3 bits agree in at least one of 4 bands of 16.
PAIRS = f"""
WITH bands AS (SELECT place, hash, band, (hash >> (16 * band)) & 65535 AS bits FROM hashes, range(4) AS bands(band))
SELECT DISTINCT one.place, other.place FROM bands AS one JOIN bands AS other USING (band, bits)
WHERE one.place < other.place AND bit_count(xor(one.hash, other.hash)) <= {MAX_DISTANCE}
"""  # noqa: S608


def difference_hash(image: Image.Image) -> int:
    """64 bits that say where an image grows brighter from left to right, in 8 rows of 9 columns.

    Source: N. Krawetz, "Kind of like that" (2013).
    """
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    return int.from_bytes(np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes(), "big")


def group_lookalikes(hashes: np.ndarray) -> np.ndarray:
    """Group images whose hashes, [n] uint64, differ in at most ``MAX_DISTANCE`` bits, chains included: [n] from 0."""
    distinct, place = np.unique(hashes, return_inverse=True)
    n = len(distinct)
    with duckdb.connect() as connection:
        connection.register("hashes", pa.table({"place": np.arange(n), "hash": distinct}))
        left, right = (column.to_numpy() for column in connection.sql(PAIRS).to_arrow_table().columns)
    graph = sparse.coo_matrix((np.ones(len(left), bool), (left, right)), shape=(n, n))
    return connected_components(graph, directed=False)[1][place]


def describe_lookalikes(names: list[str], hashes: np.ndarray, most: int) -> dict[str, Any]:
    """Count the images that look like another one, and list at most ``most`` groups of names, [n] as the hashes."""
    groups = group_lookalikes(hashes)
    sizes = np.bincount(groups)
    several = np.flatnonzero(sizes > 1)
    shown = [[names[row] for row in np.flatnonzero(groups == group)[:5]] for group in several[:most]]
    return {"images": int(sizes[several].sum()), "groups": len(several), "examples": shown}
