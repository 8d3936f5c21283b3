"""``main_prepare_dataset.py`` on generated raw files of the paper's sizes: time, peak memory, and counts checked.

The counts are taken from the raw files once more by code that shares nothing with the sources. Run as
``PYTHONPATH=. python benchmarks/prepare_at_scale.py [movielens amazon pinterest]``; SCALE=0.01 makes it quick.
"""

import ast
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks.generate import write_amazon, write_movielens, write_pinterest
from benchmarks.measure import ROOT, save

SCALE = float(os.environ.get("SCALE", "1"))


def sized(number: int) -> int:
    """A count of the paper's at the chosen scale."""
    return max(200, int(number * SCALE))


def count_movielens(folder: Path) -> dict[str, int]:
    """Ratings, users and films of the raw files."""
    users, n_ratings = set(), 0
    with (folder / "ratings.dat").open() as stream:
        for line in stream:
            users.add(line[: line.index("::")])
            n_ratings += 1
    n_movies = len((folder / "movies.dat").read_text().splitlines())
    return {"interactions": n_ratings, "users": len(users), "items": n_movies}


def count_amazon(folder: Path) -> dict[str, int]:
    """Distinct reviews, reviewers and reviewed products, and how many of those have metadata."""
    pairs = set()
    with gzip.open(folder / "reviews_Made_Up_5.json.gz", "rt") as stream:
        for line in stream:
            review = json.loads(line)
            pairs.add((review["reviewerID"], review["asin"]))
    items = {item for _, item in pairs}
    described = 0
    with gzip.open(folder / "meta_Made_Up.json.gz", "rt") as stream:
        for line in stream:
            if line[10:20] in items:
                described += ast.literal_eval(line)["asin"] in items
    users = {user for user, _ in pairs}
    return {"interactions": len(pairs), "users": len(users), "items": len(items), "described": described}


def count_pinterest(folder: Path) -> dict[str, int]:
    """Distinct pairs and users of pins with at least 2 repins."""
    with gzip.open(folder / "ImageDatasetRepinactivity.gz", "rt") as stream:
        rows = [line.split("|") for line in stream]
    repins = Counter(row[0] for row in rows)
    kept = {(row[1], row[0]) for row in rows if repins[row[0]] >= 2}
    items = sum(count >= 2 for count in repins.values())
    return {"interactions": len(kept), "users": len({user for user, _ in kept}), "items": items}


DATASETS: dict[str, tuple[Callable[[Path], None], Callable[[Path], dict[str, int]], list[str]]] = {
    "movielens": (
        lambda folder: write_movielens(folder, sized(69_878), sized(10_681), sized(10_000_054)),
        count_movielens,
        ["dataset=movielens"],
    ),
    "amazon": (
        lambda folder: write_amazon(folder, sized(1_500_000), sized(23_033), sized(278_677)),
        count_amazon,
        ["dataset=amazon", "dataset.category=Made_Up", "dataset.root=Made Up"],
    ),
    "pinterest": (
        lambda folder: write_pinterest(folder, sized(27_080), sized(170_978), sized(265_252)),
        count_pinterest,
        ["dataset=pinterest", "dataset.min_repins=2"],
    ),
}


def run(name: str) -> dict[str, float]:
    """Generate, prepare in a process of its own, check the counts, and return what was measured."""
    write, count, overrides = DATASETS[name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "raw"
        folder.mkdir()
        write(folder)
        images = folder / ("posters" if name == "movielens" else "images")
        command = [sys.executable, "main_prepare_dataset.py", *overrides, "dataset.name=generated"]
        command += [f"dataset.raw_dir={folder}", f"dataset.images_dir={images}", f"outputs_dir={temporary}"]
        start = time.perf_counter()
        if subprocess.run([*command, "dataset.store_size=32"], cwd=ROOT).returncode:
            raise SystemExit(f"preparing {name} failed")
        seconds = time.perf_counter() - start
        prepared = Path(temporary) / "generated" / "prepared"
        peak = json.loads((prepared / "manifest.json").read_text())["peak_memory_mb"] * 2**20
        report = json.loads((prepared / "report.json").read_text())
        expected = count(folder)
        found = dict(report["statistics"])
        found["described"] = found["items"] - report["dropped"].get("items_without_metadata", 0)
        for key, value in expected.items():
            if found[key] != value:
                raise SystemExit(f"{name}: {key} should be {value}, but is {found[key]}")
        raw_bytes = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    return {"seconds": seconds, "peak_bytes": peak, "raw_bytes": raw_bytes, **expected}


if __name__ == "__main__":
    results = {}
    for name in sys.argv[1:] or list(DATASETS):
        results[name] = run(name)
        row = results[name]
        print(f"{name}: {row['seconds']:.0f} s, peak {row['peak_bytes'] / 1e9:.2f} GB, counts agree: {row}")
    save("prepare_at_scale", {"scale": SCALE, "datasets": results})
