import pytest
import torch

from src.classifiers.models.backbones import build_backbone
from src.classifiers.models.freezing import backbone_stages, freeze_stages
from src.classifiers.models.network import ImageFeatures
from src.errors import ConfigError
from tests.pipeline import compose_config


def config(backbone, **changes):
    overrides = [f"backbone.{name}={value}" for name, value in changes.items()]
    return compose_config("train_classifier", f"backbone={backbone}", "backbone.weights=null", *overrides).backbone


@pytest.mark.parametrize(
    ("backbone", "n_stages"),
    [("resnet18", 5), ("mobilenet_v2", 19), ("regnet_y_400mf", 5), ("efficientnet_lite0", 9)],
)
def test_stages_follow_the_forward_pass_and_hold_every_parameter(backbone, n_stages):
    network, *_ = build_backbone(config(backbone), 64)
    stages = backbone_stages(network)
    assert len(stages) == n_stages
    held = [parameter for stage in stages for module in stage for parameter in module.parameters()]
    assert {id(parameter) for parameter in held} == {id(parameter) for parameter in network.parameters()}
    order = []
    for number, stage in enumerate(stages):
        for module in stage:
            module.register_forward_hook(lambda *_, number=number: order.append(number))
    network.eval()(torch.rand(1, 3, 64, 64))
    assert order == sorted(order)


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "resnet18"])
def test_frozen_stages_learn_nothing(backbone):
    network = ImageFeatures(config(backbone, frozen_stages=3), 64).train()
    frozen, learning = backbone_stages(network.backbone)[:3], backbone_stages(network.backbone)[3:]
    before = [value.clone() for stage in frozen for module in stage for value in module.state_dict().values()]
    network(torch.rand(4, 3, 48, 48)).square().mean().backward()
    assert all(p.grad is None for stage in frozen for module in stage for p in module.parameters())
    assert all(p.grad is not None for stage in learning for module in stage for p in module.parameters())
    after = [value for stage in frozen for module in stage for value in module.state_dict().values()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert not any(module.training for stage in frozen for module in stage)
    assert all(module.training for stage in learning for module in stage)


def test_too_many_stages():
    network, *_ = build_backbone(config("resnet18"), 64)
    with pytest.raises(ConfigError, match="frozen_stages should be 0 to 4 for this architecture, but is 5"):
        freeze_stages(network, 5)
