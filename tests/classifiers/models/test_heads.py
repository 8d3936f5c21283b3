import pytest
import torch

from src.classifiers.models.heads import Heads, Scales
from src.classifiers.models.network import MultitaskNetwork


def test_the_label_head_does_not_depend_on_the_cf_head():
    with_head, without = (Heads(5, 3, size, seed=1, hidden_size=4) for size in (4, None))
    for name, value in without.state_dict().items():
        assert torch.equal(with_head.state_dict()[name], value)
    logits, cf_pred = with_head.eval()(torch.rand(2, 5))
    assert (logits.shape, cf_pred.shape) == ((2, 3), (2, 4))
    assert without.eval()(torch.rand(2, 5))[1] is None


@pytest.mark.parametrize("hidden_size", [0, 6])
def test_heads_come_back_from_their_state(hidden_size):
    scales = Scales(torch.rand(2, 5) + 0.5, None, torch.rand(2, 4))
    heads = Heads(5, 3, 4, hidden_size=hidden_size, dropout=0.5, seed=2, scales=scales).eval()
    again = Heads.from_state(heads.state_dict())
    features = torch.rand(7, 5)
    for one, other in zip(heads(features), again(features), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(heads.cf_vectors(features), again.cf_vectors(features))


def test_features_and_cf_vectors_are_scaled():
    scale = torch.tensor([[1.0, 2.0], [2.0, 4.0]])
    plain, scaled = (
        Heads(2, 1, 2, seed=3).eval(),
        Heads(2, 1, 2, seed=3, scales=Scales(features=scale, cf=scale)).eval(),
    )
    features = torch.tensor([[3.0, 6.0], [1.0, 2.0]])
    assert torch.equal(scaled(features)[0], plain((features - scale[0]) / scale[1])[0])
    assert torch.equal(scaled.cf_vectors(features), scaled(features)[1] * scale[1] + scale[0])
    assert plain.cf_vectors(features) is None


def test_logits_of_views_are_averaged():
    network = MultitaskNetwork(None, Heads(5, 3, hidden_size=4, seed=1).eval(), n_views=2)
    views = torch.rand(6, 2, 5)
    expected = (network.heads(views[:, 0])[0] + network.heads(views[:, 1])[0]) / 2
    assert torch.allclose(network.logits(views), expected, atol=1e-6)
