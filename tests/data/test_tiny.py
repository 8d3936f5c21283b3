import numpy as np
import pandas as pd
from PIL import Image

from tests.data.tiny import write_tiny_dataset


def test_tiny_dataset_is_deterministic_and_planted(tmp_path):
    first, second = (write_tiny_dataset(tmp_path / name, n_items=60, n_users=80) for name in ("a", "b"))
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(files) == 62
    assert all((first / path).read_bytes() == (second / path).read_bytes() for path in files)
    items = pd.read_csv(first / "items.csv", dtype=str)
    pairs = pd.read_csv(first / "interactions.csv", dtype=str)
    main_label = items.set_index("item_id")["labels"].str.split("|").str[0]
    crossed = pd.crosstab(pairs["user_id"].str[-4:].astype(int) % 4, pairs["item_id"].map(main_label))
    assert (crossed.max(axis=1) > 0.45 * crossed.sum(axis=1)).all()  # users prefer a class
    colours = np.array([np.asarray(Image.open(first / "images" / name)).mean(axis=(0, 1)) for name in items["image"]])
    spread = pd.DataFrame(colours).groupby(items["labels"].str.split("|").str[0]).mean().std()
    assert (spread > 15).all()  # pixels differ between classes
