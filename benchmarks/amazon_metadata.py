"""Reading Amazon metadata: ``eval`` line by line, as the original did, against ours.

Twice: all products wanted (parsing alone), and 1.5 % of them (as in Clothing: 23,000 of 1.5 million), where the filter
by asin spares the others. Run as ``PYTHONPATH=. python benchmarks/amazon_metadata.py``; N_LINES sets the size.
"""

import gzip
import os
import tempfile
from pathlib import Path

from benchmarks.generate import write_amazon
from benchmarks.measure import compare, timed
from src.config.datasets import AmazonConfig
from src.data.sources.amazon import read_products

N_LINES = int(os.environ.get("N_LINES", "60000"))
FOLDER = Path(tempfile.gettempdir()) / f"amazon-metadata-{N_LINES}"
PATH = FOLDER / "meta_Made_Up.json.gz"
CONFIG = AmazonConfig(category="Made_Up", root="Made Up")


def prepare() -> None:
    """Write the file once; every run reads the same."""
    if not PATH.is_file():
        FOLDER.mkdir(exist_ok=True)
        write_amazon(FOLDER, N_LINES, 100, 200)


def read_by_eval() -> None:
    """The original's way: run every line as code."""
    with gzip.open(PATH, "rt", encoding="utf-8") as stream:
        for line in stream:
            eval(line)


def ours(share: float) -> float:
    """Seconds to read the products of the first ``share`` of all asins."""
    wanted = {f"B{number:09d}" for number in range(int(N_LINES * share))}

    def work() -> None:
        products, counts = read_products(PATH, wanted, CONFIG)
        if len(products) != len(wanted) or counts["metadata_that_cannot_be_read"]:
            raise RuntimeError("products are missing")

    return timed(work)


if __name__ == "__main__":
    prepare()
    compare(
        "amazon_metadata",
        "lines",
        {
            "eval": lambda: (N_LINES, timed(read_by_eval)),
            "ours, all products": lambda: (N_LINES, ours(1.0)),
            "ours, 1.5 % of products": lambda: (N_LINES, ours(0.015)),
        },
        target=3.0,
    )
