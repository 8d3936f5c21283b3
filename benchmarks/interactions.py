"""Generated interactions for the benchmarks of CF models: popularity as in real logs, users with a few items each."""

import numpy as np
from scipy import sparse


def generate(n_users: int, n_items: int, n_interactions: int, seed: int = 0) -> sparse.csr_matrix:
    """Binary user x item matrix, CSR float32, with about ``n_interactions`` entries and no user without any."""
    rng = np.random.default_rng(seed)
    popularity = (1 + np.arange(n_items)) ** -0.8
    items = rng.choice(n_items, size=n_interactions, p=popularity / popularity.sum())
    users = np.concatenate([np.arange(n_users), rng.integers(0, n_users, max(0, n_interactions - n_users))])
    users = users[:n_interactions]
    matrix = sparse.csr_matrix((np.ones(len(users), np.float32), (users, items)), shape=(n_users, n_items))
    matrix.data[:] = 1.0
    return matrix
