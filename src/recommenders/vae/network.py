"""Variational autoencoder for collaborative filtering with a multinomial likelihood, fed and trained sparsely."""

import math

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

from src.recommenders.vae.settings import VAESettings

CHUNK_ELEMENTS = 2_000_000
"""Logits held in memory at a time, so that they stay in a processor's cache."""

CHUNK_USERS = 32
"""Smallest chunk, whatever the number of items: each chunk reads all item vectors once."""


class VAE(nn.Module):
    """Encoder items-hidden-latent, decoder latent-hidden-items (Liang et al., 2018).

    The weights of the decoder's last layer are the item vectors, its biases, if any, the item biases. Layer sizes are
    those of Cornac's ``VAECF``, which the paper used. All methods take users as ``items``, the item indices of one user
    after another, [n] int64, and ``offsets``, where each user begins, and the end, [b + 1] int64.

    Source: section 4.1.3.
    """

    def __init__(self, n_items: int, cfg: VAESettings, generator: torch.Generator) -> None:
        """Draw initial weights from ``generator`` alone."""
        super().__init__()
        self.cfg = cfg
        hidden, latent = cfg.n_factors, cfg.latent_size
        self.item_inputs = nn.Parameter(torch.empty(n_items, hidden))
        self.input_bias = nn.Parameter(torch.zeros(hidden))
        self.to_mean = nn.Linear(hidden, latent)
        self.to_log_variance = nn.Linear(hidden, latent)
        self.to_hidden = nn.Linear(latent, hidden)
        self.item_vectors = nn.Parameter(torch.empty(n_items, hidden))
        self.item_bias = nn.Parameter(torch.zeros(n_items)) if cfg.item_bias else None
        layers = (self.to_mean, self.to_log_variance, self.to_hidden)
        bounds = {layer.weight: 1 / math.sqrt(layer.in_features) for layer in layers}
        bounds |= {self.item_inputs: 1 / math.sqrt(n_items), self.item_vectors: cfg.init_scale / math.sqrt(hidden)}
        for weights, bound in bounds.items():
            nn.init.uniform_(weights, -bound, bound, generator=generator)
        for layer in layers:
            nn.init.zeros_(layer.bias)

    def encode(self, items: Tensor, offsets: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log variance of each user's latent distribution, both [b, latent].

        ``weights`` [n] has the input value of each interaction, by default 1.
        """
        count = offsets.diff()
        if self.cfg.normalize_input:
            scale = count.clamp(min=1).to(self.item_inputs.dtype).rsqrt().repeat_interleave(count)
            weights = scale if weights is None else weights * scale
        summed = functional.embedding_bag(
            items, self.item_inputs, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True
        )
        hidden = torch.tanh(summed + self.input_bias)
        return self.to_mean(hidden), self.to_log_variance(hidden)

    def decode(self, latent: Tensor) -> Tensor:
        """The activations that item vectors are multiplied with, [b, hidden]."""
        return torch.tanh(self.to_hidden(latent))

    def negative_log_likelihood(
        self, hidden: Tensor, items: Tensor, offsets: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Mean over users, a scalar, of ``MultinomialLoss``, over all items or as ``sampled_items`` says.

        ``hidden`` [b, hidden] is what ``decode`` returned; ``generator`` draws the sampled items, if any.
        """
        vectors: Tensor = self.item_vectors
        bias: Tensor | None = self.item_bias
        if self.cfg.sampled_items is not None:
            chosen, log_weight, items = sample_items(items, len(vectors), self.cfg.sampled_items, generator)
            vectors, bias = vectors[chosen], log_weight if bias is None else bias[chosen] + log_weight
        return MultinomialLoss.apply(hidden, vectors, bias, items, offsets)

    @torch.no_grad()
    def logits(self, items: Tensor, offsets: Tensor) -> Tensor:
        """Scores of all items for some users, [b, n_items], from the mean of the latent distribution."""
        hidden = self.decode(self.encode(items, offsets)[0])
        return functional.linear(hidden, self.item_vectors, self.item_bias)


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Divergence of each user's latent distribution from the standard normal, [b]."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)


def sample_items(
    items: Tensor, n_items: int, n_sampled: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Items that represent all in a step's softmax: those of its users, and a random sample of the others.

    Each sampled item has the weight of the number of others divided by the number sampled, so that the estimate of the
    softmax's sum is unbiased; it is exact if all others are sampled.

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

    It is exact, but holds the logits of only one chunk of users at a time (``CHUNK_ELEMENTS``, ``CHUNK_USERS``):
    ``forward`` also computes the gradient of each chunk, softmax times number of interactions minus indicator.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, hidden: Tensor, vectors: Tensor, bias: Tensor | None, items: Tensor, offsets: Tensor
    ) -> Tensor:
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
    def backward(ctx: FunctionCtx, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        """Scale the gradients that ``forward`` computed."""
        scale = grad_output / ctx.n_users  # type: ignore[attr-defined]
        grad_hidden, grad_vectors, *grad_bias = (grad * scale for grad in ctx.saved_tensors)  # type: ignore[attr-defined]
        return grad_hidden, grad_vectors, grad_bias[0] if grad_bias else None, None, None
