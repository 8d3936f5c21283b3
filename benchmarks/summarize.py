"""``BENCHMARKS.md`` from ``benchmarks/results/``: one row a benchmark, each against its goal."""

import json
import platform
from pathlib import Path

from benchmarks.measure import RESULTS, ROOT
from src.files import save_text
from src.machine import n_cores

NAMES = {
    "image_pipeline": "data pipeline alone, 224 px crops from 500 px JPEGs, one core",
    "freed_memory": "training step, EfficientNet-Lite0, 224 px",
    "vae": "VAE epoch, 20,000 items",
    "auc": "recommender AUC, 20,000 items",
    "bootstrap": "bootstrap replicate of mAP, 4,000 images, 200 classes",
    "amazon_metadata": "reading Amazon metadata",
    "frozen_features_emoji": "training on frozen features, 1,580 emoji, 192 px",
    "frozen_features_movielens_posters": "training on frozen features, 8,233 posters, 192 px",
}


def load(name: str) -> dict:
    """One benchmark's result."""
    result: dict = json.loads((RESULTS / f"{name}.json").read_text())
    return result


def ratio_rows(name: str) -> list[str]:
    """Rows of one comparison: each side but the peer."""
    result = load(name)
    rows = []
    for side, row in list(result["sides"].items())[1:]:
        target = result["target"]
        goal = "" if target is None else f"{target:g}x | {'yes' if row['ratio'] >= target else '**no**'}"
        memory = result["sides"][result["peer"]]["peak_bytes"] / row["peak_bytes"]
        rows.append(
            f"| {NAMES[name]}: {side} | {result['peer']} | {row['ratio']:.1f}x "
            f"({row['ratio_low']:.1f} to {row['ratio_high']:.1f}) | {goal or ' | '} | 1/{memory:.1f} |"
        )
    return rows


def main() -> None:
    """Write the page."""
    lines = [
        "# Benchmarks",
        "",
        f"Made by `bash benchmarks/run_all.sh` on {n_cores()} cores ({platform.machine()}). Each row: peer and ours in",
        "turn, every run a process of its own; median ratio of the pairs, smallest and largest in brackets.",
        "",
        "| work | peer | ours is faster by | goal | met | peak memory |",
        "|---|---|---:|---:|---|---:|",
    ]
    lines += [row for name in NAMES if (RESULTS / f"{name}.json").is_file() for row in ratio_rows(name)]
    loops = sorted(path.stem for path in Path(RESULTS).glob("training_loop_*.json"))
    if loops:
        lines += ["", "The training loop's share of the bare step's speed (goal 0.90, aim 0.95):", ""]
        lines += ["| dataset, backbone, pixels | share | images a second |", "|---|---:|---:|"]
    for name in loops:
        row = load(name)
        shown = name.removeprefix("training_loop_").replace("_", " ")
        lines.append(
            f"| {shown} | {row['share']:.3f} ({row['low']:.3f} to {row['high']:.3f}) | {row['images_a_second']:.0f} |"
        )
    if loops:
        lines += ["", "Milliseconds a step of its parts, each measured alone (median):", ""]
        lines += [f"| part | {' | '.join(name.removeprefix('training_loop_').replace('_', ' ') for name in loops)} |"]
        lines += ["|---|" + "---:|" * len(loops)]
        columns = [load(name)["milliseconds"] for name in loops]
        lines += [f"| {part} | {' | '.join(f'{column[part]:.1f}' for column in columns)} |" for part in columns[0]]
    if (RESULTS / "frozen_stages.json").is_file():
        result = load("frozen_stages")
        lines += ["", f"Steps with EfficientNet-Lite0's first stages frozen, {result['image_size']} px, batch "]
        lines[-1] += f"{result['batch']}:"
        lines += ["", "| frozen stages | faster by | learned parameters |", "|---:|---:|---:|"]
        for row in result["rows"][1:]:
            spread = f"{row['ratio']:.2f}x ({row['low']:.2f} to {row['high']:.2f})"
            lines.append(f"| {row['frozen_stages']} | {spread} | {row['learned']:,} |")
    if (RESULTS / "sampled_softmax.json").is_file():
        result = load("sampled_softmax")
        lines += ["", f"The VAE's sampled softmax, {result['n_items']:,} items, {result['steps']} steps of "]
        lines[-1] += f"{result['batch_size']} users:"
        lines += ["", "| other items a step | users a second | AUC |", "|---:|---:|---:|"]
        lines += [
            f"| {row['sampled_items'] or 'all'} | {row['users_a_second']:.0f} | {row['AUC']:.3f} |"
            for row in result["rows"]
        ]
    if (RESULTS / "scaling.json").is_file():
        result = load("scaling")
        lines += ["", "Phase 1 on generated interactions ([docs/scaling.md](docs/scaling.md)):", ""]
        lines += ["| interactions | users | items | prepare | 50 VAE batches | AUC of 2,000 users |", "|" + "---:|" * 6]
        for row in result["rows"]:
            cells = [
                f"{row[f'{s}_seconds']:.0f} s, {row[f'{s}_bytes'] / 1e9:.2f} GB" for s in ("prepare", "vae", "auc")
            ]
            numbers = " | ".join(f"{row[key]:,}" for key in ("interactions", "users", "items"))
            lines.append(f"| {numbers} | {' | '.join(cells)} |")
        exponents = {name: f"{value:.2f}" for name, value in result["exponents"].items() if name.endswith("bytes")}
        shown = ", ".join(f"{name.removesuffix('_bytes')} {value}" for name, value in exponents.items())
        lines += ["", f"Fitted exponents of peak memory above an empty process's: {shown}."]
    lines += [
        "",
        "Seconds of a run of 1,000 steps or a little more, to whole epochs (goal 20), of",
        "",
    ]
    for name in (name for name in NAMES if name.startswith("frozen_features") and (RESULTS / f"{name}.json").is_file()):
        lines.append(f"- {NAMES[name]}: {load(name)['sides']['frozen features']['seconds']:.1f}")
    lines += ["", "Features, and 240 runs in 24 minutes: [docs/scaling.md](docs/scaling.md#frozen-features)."]
    save_text(ROOT / "BENCHMARKS.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
