"""Planted structure: users like the items of their own block, labels say the block; and a prepared folder of it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from src.artifacts import INTERACTIONS_FILE, ITEMS_FILE, LABELS_FILE, MANIFEST_FILE, PREPARED, USERS_FILE
from src.files import save_json, save_table


def block_matrix(n_users=400, n_items=60, n_blocks=3, per_user=8, seed=0):
    """User u likes items of block u % n_blocks only; item i is in block i % n_blocks."""
    rng = np.random.default_rng(seed)
    rows, columns = [], []
    for user in range(n_users):
        own = np.flatnonzero(np.arange(n_items) % n_blocks == user % n_blocks)
        chosen = rng.choice(own, size=per_user, replace=False)
        rows += [user] * per_user
        columns += chosen.tolist()
    return sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(n_users, n_items))


def interaction_table(matrix, user_prefix="u", item_prefix="i"):
    entries = matrix.tocoo()
    return pd.DataFrame(
        {
            "user_id": [f"{user_prefix}{row}" for row in entries.row],
            "item_id": [f"{item_prefix}{column}" for column in entries.col],
        }
    )


def save_pairs(folder: Path, interactions: pd.DataFrame, item_ids: list[str]) -> None:
    """Write interactions given by name as prepare does."""
    users = sorted(set(interactions["user_id"]))
    place = {name: index for index, name in enumerate(users)}, {name: index for index, name in enumerate(item_ids)}
    table = pd.DataFrame(
        {"user_idx": interactions["user_id"].map(place[0]), "item_idx": interactions["item_id"].map(place[1])},
        dtype=np.int32,
    )
    save_table(folder / INTERACTIONS_FILE, table.sort_values(["user_idx", "item_idx"], ignore_index=True))
    save_table(folder / USERS_FILE, pd.DataFrame({"user_id": users}, dtype=str))


def write_prepared(outputs: Path, name="tiny", n_items=240, n_blocks=3, interactions=None, context=()) -> Path:
    """A prepared dataset without images; item i<k> has the label of its block, parts go round."""
    folder = outputs / name / PREPARED
    folder.mkdir(parents=True, exist_ok=True)
    ids = [f"i{index}" for index in range(n_items)]
    items = pd.DataFrame(
        {
            "item_id": ids,
            "image_paths": [[] if index in context else [f"{index}.jpg"] for index in range(n_items)],
            "labels": [[f"block{index % n_blocks}"] for index in range(n_items)],
            "values": None,
            "image_group": [f"g{index // n_blocks}" for index in range(n_items)],
            "part": [(index // n_blocks) % 20 for index in range(n_items)],
        }
    )
    if interactions is None:
        interactions = interaction_table(block_matrix(600, n_items, n_blocks, per_user=12))
    save_table(folder / ITEMS_FILE, items)
    save_pairs(folder, interactions, ids)
    save_json(folder / LABELS_FILE, [f"block{index}" for index in range(n_blocks)])
    (folder / MANIFEST_FILE).write_text(json.dumps({"files": {}, "task": "classification"}))
    return folder
