"""Heads on an image's features: labels or numbers and, if the method trains it, the CF vector."""

from collections.abc import Mapping
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from src.randomness import derive_seed

CF_HIDDEN_SIZE = 128


class Scales(NamedTuple):
    """Mean and deviation of each feature [2, F], number to predict [2, N] and CF dimension [2, f]; None: 0 and 1."""

    features: Tensor | None = None
    targets: Tensor | None = None
    cf: Tensor | None = None


class Heads(nn.Module):
    """A label head and a CF head on the same features, each initialised by its own seed.

    The label head's hidden layer is shared with the CF head. On frozen features it is all that they share: without it a
    CF head changes no label.

    Source: paper, section 3.4 and figure 1.
    """

    def __init__(
        self,
        n_features: int,
        n_targets: int,
        cf_size: int | None = None,
        *,
        hidden_size: int = 0,
        dropout: float = 0.0,
        seed: int = 0,
        scales: Scales | None = None,
    ) -> None:
        """Build heads from F features to N targets and, unless ``cf_size`` is None, to CF targets of that length.

        ``hidden_size`` and ``dropout`` are of the hidden layer; 0: no such layer.
        """
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "label head"))
            self.label_head = LabelHead(n_features, n_targets, hidden_size, dropout)
            torch.manual_seed(derive_seed(seed, "cf head"))
            self.cf_head = None if cf_size is None else build_cf_head(hidden_size or n_features, cf_size)
        self.feature_scale: Tensor | None
        self.target_scale: Tensor | None
        self.cf_scale: Tensor | None
        for name, scale in zip(("feature_scale", "target_scale", "cf_scale"), scales or Scales(), strict=True):
            self.register_buffer(name, scale)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Self:
        """The trained heads of a state dict, in evaluation mode; sizes follow from its arrays."""
        n_targets, n_features = state["label_head.linear.weight"].shape
        hidden, cf_head = state.get("label_head.hidden.0.weight"), state.get("cf_head.4.weight")
        heads = cls(
            n_features,
            n_targets,
            None if cf_head is None else len(cf_head),
            hidden_size=0 if hidden is None else len(hidden),
            scales=Scales(state.get("feature_scale"), state.get("target_scale"), state.get("cf_scale")),
        )
        heads.load_state_dict(state)
        return heads.eval()

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits [B, N] and predicted CF targets [B, f], or None without CF head, of features [B, F]."""
        features = self._scaled(features)
        hidden = self.label_head.represent(features)
        return self.label_head(features, hidden), None if self.cf_head is None else self.cf_head(hidden)

    def scores(self, logits: Tensor) -> Tensor:
        """Logits [B, N] as probabilities of labels, or as numbers in their unit."""
        if self.target_scale is None:
            return logits.float().sigmoid()
        return logits.float() * self.target_scale[1] + self.target_scale[0]

    def cf_vectors(self, features: Tensor) -> Tensor | None:
        """Predicted CF vectors [B, f] of features [B, F], in the CF model's scale; None without a trained CF head."""
        if self.cf_head is None or self.cf_scale is None:
            return None
        predicted = self.cf_head(self.label_head.represent(self._scaled(features))).float()
        return predicted * self.cf_scale[1] + self.cf_scale[0]

    def _scaled(self, features: Tensor) -> Tensor:
        return features if self.feature_scale is None else (features - self.feature_scale[0]) / self.feature_scale[1]


class LabelHead(nn.Module):
    """A linear path, and beside it one hidden layer with dropout."""

    def __init__(self, n_features: int, n_targets: int, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(n_features, n_targets)
        self.hidden: nn.Sequential | None = None
        if hidden_size:
            layers = nn.Linear(n_features, hidden_size), nn.ReLU(), nn.Dropout(dropout)
            self.hidden = nn.Sequential(*layers, nn.Linear(hidden_size, n_targets))

    def represent(self, features: Tensor) -> Tensor:
        """The hidden layer [B, hidden_size] of features [B, F]; without one, the features."""
        return features if self.hidden is None else self.hidden[:-1](features)

    def forward(self, features: Tensor, hidden: Tensor) -> Tensor:
        """Logits [B, N] of features [B, F] and what ``represent`` makes of them."""
        logits = self.linear(features)
        return logits if self.hidden is None else logits + self.hidden[-1](hidden)


def build_cf_head(n_features: int, cf_size: int) -> nn.Sequential:
    """BatchNorm, Linear, BatchNorm, ReLU, Linear: features [B, n_features] to CF vectors [B, cf_size]."""
    return nn.Sequential(
        nn.BatchNorm1d(n_features),
        nn.Linear(n_features, CF_HIDDEN_SIZE),
        nn.BatchNorm1d(CF_HIDDEN_SIZE),
        nn.ReLU(),
        nn.Linear(CF_HIDDEN_SIZE, cf_size),
    )
