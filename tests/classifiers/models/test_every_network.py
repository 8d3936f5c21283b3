"""A small network of each of timm's families, every classifier of torchvision: features, or a sentence of ours."""

import pytest
import timm
import torch
from torchvision import models

from src.classifiers.models.backbones import build_backbone
from src.config.classifiers import BackboneConfig
from src.errors import ConfigError

SMALL = (
    "test_",
    "femto",
    "atto",
    "pico",
    "nano",
    "xxt",
    "xx",
    "tiny",
    "micro",
    "mini",
    "_xs",
    "small",
    "_s",
    "b0",
    "050",
)


def smallest(module):
    """A small network of a family, told by its name."""
    names = timm.list_models(module=module)
    return min(names, key=lambda name: (min((SMALL.index(s) for s in SMALL if s in name), default=99), len(name), name))


def own_size(name):
    return timm.get_pretrained_cfg(name, allow_unregistered=True).input_size[1]


def passes(source, architecture, size):
    """None where the network gives features of two images, else our error's text."""
    try:
        backbone = build_backbone(BackboneConfig(name="x", source=source, architecture=architecture), size)
    except ConfigError as error:
        return str(error)
    with torch.inference_mode():
        features = backbone.network.eval()(torch.rand(2, 3, size, size))
    assert features.shape == (2, backbone.n_features)
    return None


@pytest.mark.slow
@pytest.mark.parametrize("module", [module for module in timm.list_modules() if timm.list_models(module=module)])
def test_a_network_of_every_timm_family(module):
    name = smallest(module)
    assert passes("timm", name, own_size(name)) is None
    refused = passes("timm", name, 64)
    assert refused is None or "sizes that work: " in refused


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in models.list_models(module=models) if "_h_14" not in name])
def test_every_classifier_of_torchvision(name):
    refused = passes("torchvision", name, 64)
    assert refused is None or "sizes that work: " in refused
    if refused:
        assert (
            passes("torchvision", name, int(refused.rpartition("sizes that work: ")[2].split(".")[0].split(", ")[-1]))
            is None
        )


@pytest.mark.parametrize(("source", "name", "size"), [
    *(("timm", name, 64) for name in ("mobilenetv3_small_050", "ghostnet_050", "lcnet_035", "vit_tiny_patch16_224")),
    *(("timm", name, 96) for name in ("swin_tiny_patch4_window7_224", "deit_tiny_patch16_224", "efficientvit_b0")),
    *(("torchvision", name, 64) for name in ("squeezenet1_1", "googlenet", "vit_b_32")),
])  # fmt: skip
def test_widths_are_measured_and_sizes_kept(source, name, size):
    assert passes(source, name, size) is None


def test_a_size_below_a_networks_least_names_sizes_that_work():
    refused = passes("torchvision", "inception_v3", 32)
    assert refused.startswith("inception_v3 takes no images of 32 px (")
    assert refused.endswith("sizes that work: 224. Set image_size.")
