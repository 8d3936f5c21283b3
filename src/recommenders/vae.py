"""Variational autoencoder for collaborative filtering with a multinomial likelihood, fed and trained sparsely."""

import math

import torch
from torch import nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

from src.config.recommenders import VAEConfig
from src.errors import ConfigError

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid}

CHUNK_ELEMENTS = 2_000_000
"""Logits held in memory at a time, so that they stay in a processor's cache ..."""

CHUNK_USERS = 32
"""... but those of so many users at least: with fewer, a large catalogue's vectors are read for too few products."""


class VAE(nn.Module):
    """Encoder items-hidden-latent, decoder latent-hidden-items (Liang et al., 2018).

    The weights of the decoder's last layer are the item vectors, its biases the item biases: one an item, or none.
    Layer sizes are those of Cornac's ``VAECF``, which the paper used.

    Source: section 4.1.3.
    """

    def __init__(self, n_items: int, cfg: VAEConfig, generator: torch.Generator) -> None:
        """Draw initial weights from ``generator`` alone."""
        super().__init__()
        if cfg.activation not in ACTIVATIONS:
            raise ConfigError(
                f"recommender.activation should be one of {', '.join(ACTIVATIONS)}, but is {cfg.activation!r}."
            )
        self.cfg = cfg
        self.activation = ACTIVATIONS[cfg.activation]
        hidden, latent = cfg.n_factors, cfg.latent_size
        self.item_inputs = nn.Parameter(torch.empty(n_items, hidden))
        self.input_bias = nn.Parameter(torch.zeros(hidden))
        self.to_mean = nn.Linear(hidden, latent)
        self.to_log_variance = nn.Linear(hidden, latent)
        self.to_hidden = nn.Linear(latent, hidden)
        self.item_vectors = nn.Parameter(torch.empty(n_items, hidden))
        self.item_bias = nn.Parameter(torch.zeros(n_items)) if cfg.item_bias else None
        with torch.no_grad():
            for layer in (self.to_mean, self.to_log_variance, self.to_hidden):
                _fill(layer.weight, 1 / math.sqrt(layer.in_features), generator)
                layer.bias.zero_()
            _fill(self.item_inputs, 1 / math.sqrt(n_items), generator)
            _fill(self.item_vectors, cfg.init_scale / math.sqrt(hidden), generator)

    def encode(
        self, items: torch.Tensor, offsets: torch.Tensor, weights: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log variance of each user's latent distribution, both [b, latent].

        Args:
            items: Item indices of one user after another, [n] int64.
            offsets: Where each user begins in ``items``, and the end, [b + 1] int64.
            weights: Input value of each interaction, [n]; by default 1.
        """
        count = offsets.diff()
        if self.cfg.normalize_input:
            scale = count.clamp(min=1).to(self.item_inputs.dtype).rsqrt().repeat_interleave(count)
            weights = scale if weights is None else weights * scale
        summed = functional.embedding_bag(
            items, self.item_inputs, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True
        )
        hidden = self.activation(summed + self.input_bias)
        return self.to_mean(hidden), self.to_log_variance(hidden)

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """The activations that item vectors are multiplied with, [b, hidden]."""
        hidden: torch.Tensor = self.activation(self.to_hidden(latent))
        return hidden

    def negative_log_likelihood(
        self, hidden: torch.Tensor, items: torch.Tensor, offsets: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """Mean over users, a scalar, of ``MultinomialLoss``, over all items or as ``sampled_items`` says.

        Args:
            hidden: What ``decode`` returned, [b, hidden].
            items: Item indices of one user after another, [n] int64.
            offsets: Where each user begins in ``items``, and the end, [b + 1] int64.
            generator: Draws the sampled items, if any.
        """
        vectors: torch.Tensor = self.item_vectors
        bias: torch.Tensor | None = self.item_bias
        if self.cfg.sampled_items is not None:
            chosen, log_weight, items = sample_items(items, len(vectors), self.cfg.sampled_items, generator)
            vectors, bias = vectors[chosen], log_weight if bias is None else bias[chosen] + log_weight
        loss: torch.Tensor = MultinomialLoss.apply(hidden, vectors, bias, items, offsets)
        return loss

    @torch.no_grad()
    def logits(self, items: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """Scores of all items for some users, [b, n_items], from the mean of the latent distribution."""
        hidden = self.decode(self.encode(items, offsets)[0])
        scores = hidden @ self.item_vectors.T
        return scores if self.item_bias is None else scores.add_(self.item_bias)  # faster on a CPU than both at once


def kl_divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """Divergence of each user's latent distribution from the standard normal, [b]."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)


def sample_items(
    items: torch.Tensor, n_items: int, n_sampled: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Items that stand for all in a step's softmax: those of its users, and some of the others at random.

    Each sampled item counts for as many as there are others a sample, so that the softmax's sum is estimated without
    bias; where all others are sampled, it is exact.

    Args:
        items: The users' items, [n] int64 below ``n_items``.
        n_items: Number of items.
        n_sampled: How many others to draw, without replacement.
        generator: Source of randomness, on the device of ``items``.

    Returns:
        The chosen items, [m] int64; what to add to their logits, [m] float32; and ``items`` as places among them, [n].
    """
    own, place = items.unique(return_inverse=True)
    others = torch.ones(n_items, dtype=torch.bool, device=items.device).index_fill_(0, own, False).nonzero()[:, 0]
    drawn = others[torch.randperm(len(others), generator=generator, device=items.device)[:n_sampled]]
    log_weight = torch.zeros(len(own) + len(drawn), device=items.device)
    log_weight[len(own) :] = math.log(len(others) / max(1, len(drawn))) if len(others) else 0.0
    return torch.cat([own, drawn]), log_weight, place


class MultinomialLoss(torch.autograd.Function):
    """Mean over users of the negative log likelihood of their items under a softmax over all items.

    Exact, yet only a chunk of users' logits at a time (``CHUNK_ELEMENTS``, ``CHUNK_USERS``): the gradient of a chunk,
    softmax times number of interactions minus indicator, is taken while its logits are at hand.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        hidden: torch.Tensor,
        vectors: torch.Tensor,
        bias: torch.Tensor | None,
        items: torch.Tensor,
        offsets: torch.Tensor,
    ) -> torch.Tensor:
        """Loss, a scalar, of ``hidden`` [b, f], ``vectors`` [I, f] and ``bias`` [I] for the users' ``items``."""
        n_users, n_items = len(hidden), len(vectors)
        count = offsets.diff()
        row = torch.arange(n_users, device=items.device).repeat_interleave(count)
        grad_hidden, grad_vectors = torch.empty_like(hidden), torch.zeros_like(vectors)
        grad_bias = None if bias is None else torch.zeros_like(bias)
        loss = hidden.new_zeros(())
        bounds = offsets.tolist()
        step = min(n_users, max(CHUNK_USERS, CHUNK_ELEMENTS // n_items))
        buffer = hidden.new_empty(step, n_items)
        for start in range(0, n_users, step):
            stop = min(start + step, n_users)
            part, own = hidden[start:stop], slice(bounds[start], bounds[stop])
            rows, columns = row[own] - start, items[own]
            logits = torch.mm(part, vectors.T, out=buffer[: stop - start])
            if bias is not None:
                logits += bias
            log_likelihood = logits[rows, columns].sum()
            largest = logits.amax(dim=1, keepdim=True)
            total = logits.sub_(largest).exp_().sum(dim=1, keepdim=True)
            weight = count[start:stop, None].to(logits.dtype)
            loss += (weight * (largest + total.log())).sum() - log_likelihood
            logits.mul_(weight / total)
            logits[rows, columns] -= 1.0
            torch.mm(logits, vectors, out=grad_hidden[start:stop])
            grad_vectors.addmm_(logits.T, part)
            if grad_bias is not None:
                grad_bias += logits.sum(dim=0)
        ctx.save_for_backward(grad_hidden, grad_vectors, *([] if grad_bias is None else [grad_bias]))
        ctx.n_users = n_users  # type: ignore[attr-defined]
        return loss / n_users

    @staticmethod
    def backward(ctx: FunctionCtx, grad_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Scale the gradients that ``forward`` took."""
        scale = grad_output / ctx.n_users  # type: ignore[attr-defined]
        grad_hidden, grad_vectors, *grad_bias = (grad * scale for grad in ctx.saved_tensors)  # type: ignore[attr-defined]
        return grad_hidden, grad_vectors, grad_bias[0] if grad_bias else None, None, None


def _fill(tensor: torch.Tensor, bound: float, generator: torch.Generator) -> None:
    tensor.uniform_(-bound, bound, generator=generator)
