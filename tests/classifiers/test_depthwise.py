import pytest
import torch
from timm.layers import Conv2dSame
from torch import nn

from src.classifiers import depthwise
from src.classifiers.backbones import build_backbone
from src.classifiers.depthwise import DepthwiseConv2d, depthwise_weight_gradient, speed_up_depthwise
from tests.pipeline import compose_config


@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (3, 5)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2)])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 4), (7, 6)])
@pytest.mark.parametrize("pad", [True, False])
def test_gradient_is_torchs(kernel, stride, size, pad):
    padding = (kernel[0] // 2, kernel[1] // 2) if pad else (0, 0)
    if any(side + 2 * p < k for side, p, k in zip(size, padding, kernel, strict=True)):
        return
    torch.manual_seed(0)
    images = torch.randn(3, 4, *size, dtype=torch.float64)
    weight = torch.randn(4, 1, *kernel, dtype=torch.float64, requires_grad=True)
    output = nn.functional.conv2d(images, weight, None, stride, padding, 1, 4)
    gradient = torch.randn_like(output)
    (expected,) = torch.autograd.grad(output, weight, gradient)
    torch.testing.assert_close(depthwise_weight_gradient(images, gradient, kernel, stride, padding), expected)


@pytest.mark.parametrize("layer", [nn.Conv2d(6, 6, 5, padding=2, groups=6, bias=False),
                                   Conv2dSame(6, 6, 5, stride=2, groups=6, bias=False)])  # fmt: skip
def test_layer_takes_the_fast_way_on_small_maps_alone(layer, monkeypatch):
    calls = []
    original = depthwise.depthwise_weight_gradient
    monkeypatch.setattr(depthwise, "depthwise_weight_gradient", lambda *args: calls.append(1) or original(*args))
    fast = DepthwiseConv2d.take_over(layer)
    assert fast.weight is layer.weight
    for size, n_calls in ((4, 1), (16, 0)):
        calls.clear()
        images = torch.randn(2, 6, size, size, requires_grad=True)
        outputs, gradients = [], []
        for one in (layer, fast):
            outputs.append(one(images))
            gradients.append(torch.autograd.grad(outputs[-1].square().sum(), [images, layer.weight]))
        torch.testing.assert_close(outputs[0], outputs[1])
        torch.testing.assert_close(gradients[0], gradients[1])
        assert len(calls) == n_calls


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "mobilenet_v2"])
def test_networks_keep_their_parameters_and_gradients(backbone):
    cfg = compose_config("train_classifier", f"backbone={backbone}", "backbone.weights=null").backbone
    torch.manual_seed(0)
    plain, _ = build_backbone(cfg)
    torch.manual_seed(0)
    fast, _ = build_backbone(cfg)
    speed_up_depthwise(fast)
    assert sum(isinstance(module, DepthwiseConv2d) for module in fast.modules()) > 10
    assert list(plain.state_dict()) == list(fast.state_dict())
    images = torch.rand(4, 3, 48, 48)
    for network in (plain.eval(), fast.eval()):  # without the noise of batch statistics
        network(images).square().mean().backward()
    for one, other in zip(plain.parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-6)


def test_other_convolutions_stay():
    network = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv2d(8, 8, 3, groups=2), nn.Conv2d(8, 8, 3, groups=8))
    speed_up_depthwise(network)
    assert [type(module) for module in network] == [nn.Conv2d] * 3  # the last has a bias
