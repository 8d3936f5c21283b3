"""Schemas of the CF models and of CF2Label."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


@dataclass
class RecommenderConfig:
    """What every CF model has."""

    name: str = MISSING
    n_factors: int = 64  # f, size of an item vector
    auc_holdout: float = 0.2  # share of the train items' interactions held out for the AUC


@dataclass
class MostPopularConfig(RecommenderConfig):
    """Non-personalised: score = number of users. Writes metrics only."""

    name: str = "most_popular"


@dataclass
class VAEConfig(RecommenderConfig):
    """Variational autoencoder for CF with a multinomial likelihood (Liang et al., 2018) and one bias per item."""

    name: str = "vae"
    item_bias: bool = True
    latent_size: int = 128
    activation: str = "tanh"  # tanh | relu | sigmoid
    normalize_input: bool = False  # a user's interactions, the encoder's input, are scaled to unit L2 norm
    init_scale: float = 0.1  # of the initial item vectors, 1: as torch's Linear; rare items keep what they start with
    beta: float = 0.01  # weight of the KL term
    dropout: float = 0.5  # of the input interactions: the decoder must tell items from other items
    lr: float = 0.01
    weight_decay: float = 0.0
    adam_eps: float = 1e-5  # larger than rare items' gradients: they move little instead of as far as frequent ones
    batch_size: int = 1024  # users
    max_steps: int = 3000
    sampled_items: int | None = None  # other items in a step's softmax beside its users', at random; null: all
    averaged_share: float = 0.0  # the last share of steps whose weights are averaged, at a constant learning rate


@dataclass
class BPRConfig(RecommenderConfig):
    """Bayesian personalised ranking by Cornac (Rendle et al., 2009)."""

    name: str = "bpr"
    lr: float = 0.05
    regularization: float = 0.001
    max_iter: int = 200


@dataclass
class CornacConfig(RecommenderConfig):
    """Any Cornac model with item vectors, by class name and parameters."""

    name: str = "cornac"
    model: str = "WBPR"
    params: dict[str, Any] = field(default_factory=dict)


@dataclass
class IALSConfig(RecommenderConfig):
    """Matrix factorisation by alternating least squares (Hu et al., 2008), by the package implicit."""

    name: str = "ials"
    interaction_weight: float = 1.0  # confidence of an interaction beside that of none, which is 1
    regularization: float = 0.1
    max_iter: int = 15


@dataclass
class JointConfig(RecommenderConfig):
    """Several CF models as one: their vectors side by side, their scores averaged; ``n_factors`` is each part's own."""

    name: str = "joint"
    parts: dict[str, Any] = field(default_factory=dict)  # name -> config of a CF model with vectors


@dataclass
class CF2LabelConfig:
    """Label classifier on CF vectors alone (paper, section 4.2)."""

    n_folds: int = 5
    hidden_size: int | None = 256  # null: halfway between f and the number of labels, as the original
    dropout: float = 0.5
    lr: float = 0.003
    weight_decay: float = 0.3
    batch_size: int = 128
    max_steps: int = 500
    class_weighting: str = "none"  # probabilities stay calibrated, as distillation needs
