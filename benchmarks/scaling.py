"""Time and memory of phase 1 against the number of interactions, 1e5 to 1e8, on generated data.

For each size: prepare (through ``main_prepare_dataset.py``), 50 VAE batches, and the AUC of 2,000 users. Sizes as
arguments, e.g. ``PYTHONPATH=. python benchmarks/scaling.py 1e5 1e6 1e7``; ``1e9 --prepare`` does prepare alone. The
catalogue grows from 1e4 to 1e6 items. Exponents are fitted between the sizes, after the memory of an empty process is
taken off.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from PIL import Image

from benchmarks.measure import ROOT, save
from src.machine import peak_memory

BATCHES, AUC_USERS = 50, 2000
MEMORY_GB = 3  # of the engine of tables
STAGES = ("prepare", "vae", "auc")


def catalogue(n: int) -> tuple[int, int]:
    """Users and items for ``n`` interactions: 10 interactions a user, items from 1e4 at 1e5 to 1e6 from 1e8 on."""
    n_items = min(10**6, round(10 ** (4 + 2 * (np.log10(n) - 5) / 3)))
    return max(1000, n // 10), n_items


def generate(folder: Path, n: int) -> None:
    """The two tables and one image in the tabular format."""
    n_users, n_items = catalogue(n)
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(folder / "images" / "0.png")
    items = pd.DataFrame({"item_id": np.arange(n_items).astype(str), "image": "", "labels": "a"})
    items.loc[0, "image"] = "0.png"
    items.to_parquet(folder / "items.parquet")
    writer = None
    for start in range(0, n, 5_000_000):  # in pieces, so that generating needs less memory than reading
        size = min(5_000_000, n - start)
        item = (n_items * rng.random(size) ** 3).astype(np.int32)  # popular items have small numbers
        table = pa.table({"user_id": rng.integers(0, n_users, size).astype(np.int32), "item_id": item})
        writer = writer or pyarrow.parquet.ParquetWriter(folder / "interactions.parquet", table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


def stage(name: str, folder: Path) -> None:
    """Run one stage of phase 1 in this process and print the seconds of its work."""
    from src.config.classifiers import TrainerConfig
    from src.data.folds import load_interactions, load_items
    from src.recommenders.auc import recommender_auc
    from src.recommenders.interactions import build_user_item, hold_out
    from src.recommenders.models.vae import VAEConfig, VAERecommender

    prepared = folder / "scaling" / "prepared"
    user_item = build_user_item(load_interactions(prepared), load_items(prepared, 0)["item_id"].to_numpy())
    start = time.perf_counter()
    if name == "vae":
        cfg = VAEConfig(max_steps=BATCHES)
        VAERecommender(cfg, TrainerConfig(accelerator="cpu", progress_bar=False)).fit(user_item.matrix, seed=0)
    elif name == "auc":
        rng = np.random.default_rng(0)
        rest, test = hold_out(user_item.matrix, 0.2, rng)
        test = test[:AUC_USERS]
        users = rng.standard_normal((AUC_USERS, 64), dtype=np.float32)
        items = rng.standard_normal((rest.shape[1], 64), dtype=np.float32)
        recommender_auc(lambda rows: users[rows] @ items.T, rest[:AUC_USERS], test)
    print(json.dumps({"seconds": time.perf_counter() - start, "bytes": peak_memory()}))


def run(command: list[str]) -> str:
    """Output of a command."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    answer = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    if answer.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return answer.stdout


def measure(n: int, stages: Sequence[str]) -> dict[str, float]:
    """Seconds and peak bytes of prepare and ``stages`` for ``n`` interactions."""
    row: dict[str, float] = {"interactions": n, "users": catalogue(n)[0], "items": catalogue(n)[1]}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        generate(folder / "raw", n)
        command = [sys.executable, "main_prepare_dataset.py", "dataset=tabular", "dataset.name=scaling"]
        command += [f"dataset.raw_dir={folder}/raw", "dataset.items_file=items.parquet", "figures=false"]
        command += ["dataset.interactions_file=interactions.parquet", f"outputs_dir={folder}", "dataset.store_size=32"]
        command += [f"memory_gb={MEMORY_GB}"]
        run(command)
        manifest = json.loads((folder / "scaling" / "prepared" / "manifest.json").read_text())
        row["prepare_seconds"], row["prepare_bytes"] = manifest["wall_clock_s"], manifest["peak_memory_mb"] * 2**20
        for name in stages:
            output = run([sys.executable, __file__, "--stage", name, str(folder)])
            row |= {f"{name}_{what}": value for what, value in json.loads(output.splitlines()[-1]).items()}
    return row


def main(sizes: list[int]) -> None:
    """Measure every size, fit the exponents, and write JSON."""
    imports = {
        "prepare": "src.data.preparation.prepare",
        "vae": "src.recommenders.vae.training",
        "auc": "src.recommenders.auc",
    }
    show = "import src.machine; print(src.machine.peak_memory())"
    empty = {name: int(run([sys.executable, "-c", f"import {what}; {show}"])) for name, what in imports.items()}
    rows = []
    for n in sizes:
        rows.append(measure(n, STAGES[1:]))
        print(rows[-1], flush=True)
    exponents = {}
    for name in STAGES if len(sizes) > 1 else ():
        for what, without in {"seconds": 0, "bytes": empty[name]}.items():
            values = np.array([row[f"{name}_{what}"] for row in rows]) - without
            exponents[f"{name}_{what}"] = float(np.polyfit(np.log(sizes), np.log(values), 1)[0])
    print("exponents:", {name: round(value, 2) for name, value in exponents.items()})
    save("scaling", {"empty_process_bytes": empty, "rows": rows, "exponents": exponents})


if __name__ == "__main__":
    if "--stage" in sys.argv:
        stage(sys.argv[2], Path(sys.argv[3]))
    elif "--prepare" in sys.argv:
        print(measure(int(float(sys.argv[1])), ()))
    else:
        main([int(float(size)) for size in sys.argv[1:]] or [10**5, 10**6, 10**7])
