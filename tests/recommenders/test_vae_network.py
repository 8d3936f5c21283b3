import resource

import numpy as np
import pytest
import torch
from scipy import sparse

from src.config.classifiers import TrainerConfig
from src.recommenders.auc import recommender_auc
from src.recommenders.interactions import hold_out
from src.recommenders.models.vae import VAEConfig, VAERecommender
from src.recommenders.vae import network as vae_module
from src.recommenders.vae.network import VAE, MultinomialLoss, kl_divergence, sample_items
from src.recommenders.vae.training import UserBatches
from tests.recommenders.planted import block_matrix

TRAINER = TrainerConfig(accelerator="cpu", progress_bar=False)


def build(n_items=7, **settings):
    return VAE(n_items, VAEConfig(n_factors=4, latent_size=3, **settings), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("chunk_elements", [7, 20, 10**6])
def test_loss_and_gradients_equal_the_dense_softmax(monkeypatch, with_bias, chunk_elements):
    monkeypatch.setattr(vae_module, "CHUNK_ELEMENTS", chunk_elements)
    monkeypatch.setattr(vae_module, "CHUNK_USERS", 1)
    torch.manual_seed(0)
    leaves = [torch.randn(5, 4, dtype=torch.float64), torch.randn(7, 4, dtype=torch.float64)]
    leaves += [torch.randn(7, dtype=torch.float64)] if with_bias else []
    dense = (torch.rand(5, 7) < 0.4).double()
    dense[2] = 0.0  # a user without interaction
    items, offsets = dense.nonzero()[:, 1], torch.cat([torch.zeros(1), dense.sum(1).cumsum(0)]).long()

    ours = [leaf.clone().requires_grad_() for leaf in leaves]
    loss = MultinomialLoss.apply(ours[0], ours[1], ours[2] if with_bias else None, items, offsets)
    (3 * loss).backward()
    reference = [leaf.clone().requires_grad_() for leaf in leaves]
    logits = reference[0] @ reference[1].T + (reference[2] if with_bias else 0)
    expected = -(dense * logits.log_softmax(dim=1)).sum(dim=1).mean()
    (3 * expected).backward()

    torch.testing.assert_close(loss, expected)
    for left, right in zip(ours, reference, strict=True):
        torch.testing.assert_close(left.grad, right.grad)


def test_a_sample_of_all_items_is_the_exact_softmax():
    items, offsets = torch.tensor([0, 3, 6, 3]), torch.tensor([0, 3, 4])
    hidden = torch.randn(2, 4, generator=torch.Generator().manual_seed(1))
    losses, gradients = [], []
    for sampled in (None, 4, 100):
        vae = build(sampled_items=sampled)
        losses.append(vae.negative_log_likelihood(hidden, items, offsets, torch.Generator().manual_seed(2)))
        losses[-1].backward()
        gradients.append((vae.item_vectors.grad, vae.item_bias.grad))
    for loss, gradient in zip(losses[1:], gradients[1:], strict=True):
        torch.testing.assert_close(loss, losses[0])
        torch.testing.assert_close(gradient, gradients[0])


@pytest.mark.parametrize("n_sampled", [0, 1, 3])
def test_sampled_items_estimate_the_softmax_sum_without_bias(n_sampled):
    items, n_items, draws = torch.tensor([2, 5, 2]), 7, 4000
    scores, generator = torch.linspace(-1, 2, n_items), torch.Generator().manual_seed(0)
    sums = []
    for _ in range(draws):
        chosen, log_weight, place = sample_items(items, n_items, n_sampled, generator)
        assert chosen[place].tolist() == items.tolist()
        assert len(chosen.unique()) == len(chosen) == 2 + n_sampled
        sums.append((scores[chosen] + log_weight).exp().sum().item())
    expected = scores.exp().sum().item() if n_sampled else scores[[2, 5]].exp().sum().item()
    assert np.mean(sums) == pytest.approx(expected, abs=4 * np.std(sums) / draws**0.5 + 1e-5)


def test_sampled_softmax_learns_planted_blocks():
    train, test = hold_out(block_matrix(), 0.2, np.random.default_rng(0))
    cfg = VAEConfig(n_factors=8, latent_size=4, max_steps=150, batch_size=4, sampled_items=5)
    model = VAERecommender(cfg, TRAINER)
    model.fit(train, 0)
    assert recommender_auc(model.user_scores, train, test).strict > 0.75


def test_large_logits_stay_finite():
    hidden, vectors = torch.full((1, 2), 200.0), torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    loss = MultinomialLoss.apply(hidden, vectors, None, torch.tensor([0]), torch.tensor([0, 1]))
    assert loss.item() == 0.0


def test_kl_by_hand():
    mean, log_variance = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert kl_divergence(mean, log_variance).item() == pytest.approx(0.5 * (1 + (np.e - 2)))


@pytest.mark.parametrize("normalize", [True, False])
def test_encoder_equals_the_dense_one(normalize):
    vae = build(normalize_input=normalize)
    dense = torch.tensor([[1.0, 0, 0, 1, 0, 0, 1], [0, 1, 0, 0, 0, 0, 0], [0] * 7])
    items, offsets = dense.nonzero()[:, 1], torch.tensor([0, 3, 4, 4])
    scaled = dense / dense.norm(dim=1, keepdim=True).clamp(min=1) if normalize else dense
    hidden = torch.tanh(scaled @ vae.item_inputs + vae.input_bias)
    mean, log_variance = vae.encode(items, offsets)
    torch.testing.assert_close(mean, vae.to_mean(hidden))
    torch.testing.assert_close(log_variance, vae.to_log_variance(hidden))


def test_one_bias_an_item_or_none():
    sizes = {name: tuple(parameter.shape) for name, parameter in build().named_parameters()}
    per_item = {name: shape for name, shape in sizes.items() if shape[0] == 7}
    assert per_item == {"item_inputs": (7, 4), "item_vectors": (7, 4), "item_bias": (7,)}
    without = dict(build(item_bias=False).named_parameters())
    assert set(sizes) - set(without) == {"item_bias"}


def test_batches_pass_over_all_users_equally_often():
    matrix = block_matrix(n_users=10)
    matrix = sparse.vstack([matrix, sparse.csr_matrix((3, matrix.shape[1]))]).tocsr()  # three without interactions
    batches = UserBatches(matrix, batch_size=4, n_steps=5, seed=1)
    drawn = [offsets.diff().tolist() for _, offsets, _ in (batches[step] for step in range(5))]
    assert [len(counts) for counts in drawn] == [4] * 5
    total = sum((np.bincount(batches[step][0], minlength=60) for step in range(5)), np.zeros(60, int))
    np.testing.assert_array_equal(total, 2 * np.asarray(matrix.sum(axis=0)).ravel())


def test_learns_planted_blocks_and_repeats_itself():
    matrix = block_matrix()
    train, test = hold_out(matrix, 0.2, np.random.default_rng(0))
    fitted = []
    for seed in (0, 0, 1):
        model = VAERecommender(VAEConfig(n_factors=8, latent_size=4, max_steps=150, batch_size=64), TRAINER)
        model.fit(train, seed)
        fitted.append(model)
    first, second, other = (model.item_factors() for model in fitted)
    assert first.vectors.tobytes() == second.vectors.tobytes()
    assert first.bias.tobytes() == second.bias.tobytes()
    assert fitted[0].curve == fitted[1].curve
    assert not np.array_equal(first.vectors, other.vectors)
    assert first.vectors.shape == (60, 8)
    assert np.abs(first.bias).max() > 0
    # Two thirds of the items are of other blocks: a model that knows only blocks reaches (2/3 + 1/3 * 1/2) and more.
    assert recommender_auc(fitted[0].user_scores, train, test).strict > 0.8
    assert fitted[0].curve[-1]["train/loss"] < fitted[0].curve[0]["train/loss"]


def test_without_item_bias_the_exported_bias_is_zero():
    model = VAERecommender(VAEConfig(n_factors=8, max_steps=3, item_bias=False), TRAINER)
    model.fit(block_matrix(), 0)
    assert not model.item_factors().bias.any()


def test_scores_are_vectors_times_users_plus_bias():
    model = VAERecommender(VAEConfig(n_factors=8, max_steps=30), TRAINER)
    model.fit(block_matrix(), 0)
    scores, factors = model.user_scores(np.array([0, 5])), model.item_factors()
    users, *_ = np.linalg.lstsq(factors.vectors, (scores - factors.bias).T, rcond=None)
    np.testing.assert_allclose(factors.vectors @ users, (scores - factors.bias).T, atol=1e-4)


def test_no_array_of_users_by_items_is_allocated():
    n_users, n_items = 50_000, 20_000
    rng = np.random.default_rng(0)
    matrix = sparse.csr_matrix(
        (np.ones(150_000, np.float32), (rng.integers(0, n_users, 150_000), rng.integers(0, n_items, 150_000))),
        shape=(n_users, n_items),
    )
    matrix.sum_duplicates()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model = VAERecommender(VAEConfig(max_steps=3, batch_size=4096), TRAINER)
    model.fit(matrix, 0)
    train, test = hold_out(matrix, 0.01, rng)
    recommender_auc(model.user_scores, train, test)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    # All users' scores would take 4,000 MB as float32, one batch's 330 MB.
    assert grown_mb < 300
