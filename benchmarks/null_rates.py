"""How often each test calls two methods different that do not differ: the numbers in docs/method.md. Minutes.

Simulated scores of both methods share a part and have noise of their own from one distribution.
"""

import numpy as np

from benchmarks.measure import save
from src.evaluation.inputs.aligned import PairedFold
from src.evaluation.protocols.paper import compare_as_paper
from src.evaluation.statistics.significance import paired_randomization_test

SIZES = ((300, 10, 1000), (1000, 20, 1000), (3000, 20, 300))  # test images, classes, pairs of methods


def simulate(rng: np.random.Generator, n_items: int, n_classes: int) -> PairedFold:
    """Two methods of one distribution on one test set."""
    targets = (rng.random((n_items, n_classes)) < 0.12).astype(np.uint8)
    shared = targets + rng.normal(size=targets.shape)
    first, second = ((shared + rng.normal(size=targets.shape)).astype(np.float32) for _ in range(2))
    return PairedFold(targets, np.arange(n_items).astype(str), [first], [second])


def main() -> None:
    """Simulate, and write JSON."""
    rows = []
    for n_items, n_classes, n_pairs in SIZES:
        rng = np.random.default_rng(5)
        paper, valid = [], []
        for _ in range(n_pairs):
            fold = simulate(rng, n_items, n_classes)
            paper.append(compare_as_paper(fold, rng)["p_t_test"])
            valid.append(paired_randomization_test([fold], rng=rng, n_permutations=199))
        rows.append({
            "test_images": n_items,
            "classes": n_classes,
            "pairs": n_pairs,
            "paper_below_.05": float(np.mean(np.array(paper) < 0.05)),
            "paper_below_.01": float(np.mean(np.array(paper) < 0.01)),
            "randomization_below_.05": float(np.mean(np.array(valid) <= 0.05)),
        })  # fmt: skip
        print(rows[-1], flush=True)
    save("null_rates", {"rows": rows})


if __name__ == "__main__":
    main()
