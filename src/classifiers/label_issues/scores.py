"""How suspicious an item's labels are, from out-of-fold label probabilities of two sources."""

import numpy as np
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from src.classifiers.targets.soft_labels import log_odds

MAX_PAIRS = 1_000_000
"""Pairs of item and label that the stack is fitted on; it has six weights."""


def stack(
    image: np.ndarray, cf: np.ndarray, n_users: np.ndarray, targets: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Combine the probabilities of two sources by how much each is worth, which depends on the number of users.

    Logistic regression on the label's prevalence, on both sources' log odds beyond it, and on their products with the
    logarithm of the number of users. Its six weights are fitted on the given labels, wrong ones included.

    Args:
        image: Label probabilities from the image, out of fold, [n, N], as those returned.
        cf: The same from the CF vector; the prevalence where there is none.
        n_users: Users who interacted with the item, [n]; 0 without vector.
        targets: Given labels, multi-hot, [n, N].
        rng: Draws the pairs to fit on, where there are more than ``MAX_PAIRS``.
    """
    prior = np.broadcast_to(log_odds(targets.mean(axis=0)), targets.shape)
    users = np.broadcast_to(np.log1p(n_users)[:, None], targets.shape)
    beyond = [log_odds(probs) - prior for probs in (image, cf)]
    columns = [prior, users, *beyond, *(users * values for values in beyond)]
    inputs, given = np.stack(columns, axis=2).reshape(-1, len(columns)), targets.ravel() > 0
    pairs = rng.permutation(len(given))[:MAX_PAIRS]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(inputs[pairs], given[pairs])
    return model.predict_proba(inputs)[:, 1].reshape(targets.shape)


def evidence(probs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Log-likelihood ratio that an item's labels belong to any item rather than to this one, [n] float64.

    Positive: each label's prevalence explains the given labels [n, N] better than the item's probabilities [n, N] do.
    An item whose probabilities are the prevalences has 0.
    """
    own, any_item = log_odds(probs), log_odds(targets.mean(axis=0))
    # log p(y) with log odds l is y l - log(1 + exp(l)).
    likelihood = targets * (any_item - own) + np.logaddexp(0, own) - np.logaddexp(0, any_item)
    return np.asarray(likelihood.sum(axis=1))


def probability_of_error(scores: np.ndarray) -> np.ndarray:
    """Probability that each item has another's labels, [n], with the share of such items that fits ``scores`` [n] best.

    Expectation maximisation of a mixture of right and exchanged label sets whose likelihood ratios are known.
    """
    share = 0.05
    for _ in range(500):
        share = float(np.clip(expit(scores + logit(share)).mean(), 1e-6, 0.5))
    return np.asarray(expit(scores + logit(share)))


def exchange_label_sets(targets: np.ndarray, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Give a share of items [n, N] the labels of one another; returns also which now have other labels, [n] bool."""
    drawn = rng.permutation(len(targets))[: round(share * len(targets))]
    changed = targets.copy()
    changed[drawn] = targets[np.roll(drawn, 1)]
    return changed, (changed != targets).any(axis=1)


def found(scores: np.ndarray, wrong: np.ndarray) -> tuple[float, float]:
    """How well scores [n] rank ``wrong`` items [n] bool first: AUROC, and precision among as many as are wrong."""
    first = np.argsort(-scores, kind="stable")[: wrong.sum()]
    return float(roc_auc_score(wrong, scores)), float(wrong[first].mean())
