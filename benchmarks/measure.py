"""Peer against ours on the same work: interleaved, each run a process of its own, medians with their spread."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from src.machine import peak_memory

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"

Side = Callable[[], tuple[float, float]]
"""Does some work, and returns how much it did and how many seconds that took, without preparations."""


def timed(work: Callable[[], Any]) -> float:
    """Seconds that ``work`` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(name: str, unit: str, sides: Mapping[str, Side], target: float | None = None, pairs: int = 3) -> None:
    """Run all sides in turn ``pairs`` times, print how much faster each is than the first, and write JSON.

    Args:
        name: Name of the result's file.
        unit: What is counted, for "units a second".
        sides: The peer first. Called with ``--side NAME`` in a process of its own, the script runs that side alone.
        target: Ratio that the last side should reach.
        pairs: How often each side runs.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", choices=list(sides))
    parser.add_argument("--pairs", type=int, default=pairs)
    arguments = parser.parse_args()
    if arguments.side:
        amount, seconds = sides[arguments.side]()
        print(json.dumps({"rate": amount / seconds, "seconds": seconds, "peak_bytes": peak_memory()}))
        return
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(arguments.pairs):
        for side in sides:
            runs[side].append(_run(side))
    peer = next(iter(sides))
    result: dict[str, Any] = {"name": name, "unit": unit, "peer": peer, "target": target, "sides": {}}
    for side, measured in runs.items():
        ratios = [own["rate"] / other["rate"] for own, other in zip(measured, runs[peer], strict=True)]
        result["sides"][side] = {
            "rate": statistics.median(run["rate"] for run in measured),
            "seconds": statistics.median(run["seconds"] for run in measured),
            "ratio": statistics.median(ratios),
            "ratio_low": min(ratios),
            "ratio_high": max(ratios),
            "peak_bytes": statistics.median(run["peak_bytes"] for run in measured),
        }
        row = result["sides"][side]
        print(
            f"{name}: {side}: {row['rate']:.4g} {unit} a second, {row['ratio']:.2f}x {peer} "
            f"({row['ratio_low']:.2f} to {row['ratio_high']:.2f}), peak {row['peak_bytes'] / 1e6:.0f} MB"
        )
    save(name, result)


def save(name: str, result: Mapping[str, Any]) -> None:
    """Write a result to ``benchmarks/results/<name>.json``."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")


def _run(side: str) -> dict[str, float]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    answer = subprocess.run(
        [sys.executable, sys.argv[0], "--side", side], env=environment, capture_output=True, text=True
    )
    if answer.returncode:
        raise SystemExit(f"{sys.argv[0]} --side {side} failed:\n{answer.stderr}")
    measured: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return measured
