import socket
import time
import urllib.error

import pytest
import torch
from safetensors.torch import save_file

from src.classifiers import backbones
from src.classifiers.backbones import build_backbone
from src.classifiers.network import MultitaskNetwork
from src.config import BackboneConfig
from src.errors import ConfigError
from tests.pipeline import compose_config

IMAGES = torch.rand(2, 3, 64, 64)


def config(**changes):
    return BackboneConfig(**{"name": "b", "source": "timm", "architecture": "test_resnet", **changes})


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_, **__):
        raise urllib.error.URLError(socket.gaierror("no internet"))

    monkeypatch.setattr(backbones.urllib.request, "urlopen", refuse)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18", "mobilenet_v2", "regnet_y_400mf"])
def test_each_backbone_config_builds_and_maps_images_to_features(name):
    cfg = compose_config("train_classifier", f"backbone={name}").backbone
    assert cfg.name == name
    if cfg.weights == "IMAGENET1K_V1":
        cfg.weights = None  # downloading is not possible everywhere
    network, n_features = build_backbone(cfg)
    assert network(IMAGES).shape == (2, n_features)


def test_the_default_backbone_takes_every_array_of_its_package():
    network, _ = build_backbone(compose_config("train_classifier").backbone)
    state, loaded = backbones._package_state(), network.state_dict()
    for ours, theirs in {
        "conv_stem.weight": "_conv_stem.weight",
        "blocks.2.1.conv_dw.weight": "_blocks.4._depthwise_conv.weight",
        "blocks.6.0.bn3.running_var": "_blocks.15._bn2.running_var",
        "conv_head.weight": "_conv_head.weight",
        "bn2.bias": "_bn1.bias",
    }.items():
        assert torch.equal(loaded[ours], state[theirs]), ours


def test_weights_from_a_local_file(tmp_path):
    network, _ = build_backbone(config())
    torch.save(network.state_dict(), tmp_path / "w.pth")
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    for suffix in ("pth", "safetensors"):
        loaded, _ = build_backbone(config(weights=str(tmp_path / f"w.{suffix}")))
        assert all(torch.equal(value, network.state_dict()[name]) for name, value in loaded.state_dict().items())


def test_a_file_that_does_not_fit_is_refused(tmp_path):
    torch.save({"other": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(ConfigError, match=r"lacks .* of the backbone's"):
        build_backbone(config(weights=str(tmp_path / "w.pth")))
    (tmp_path / "w.pth").write_bytes(b"no weights")
    with pytest.raises(ConfigError, match="is no file of plain weights"):
        build_backbone(config(weights=str(tmp_path / "w.pth")))
    with pytest.raises(ConfigError, match="does not exist"):
        build_backbone(config(weights="missing.pth"))
    with pytest.raises(ConfigError, match="fits the architecture tf_efficientnet_lite0 only"):
        build_backbone(config(weights="package"))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    "settings",
    [
        {"source": "torchvision", "architecture": "resnet18", "weights": "IMAGENET1K_V1"},
        {"architecture": "resnet18", "weights": "a1_in1k"},
    ],
)
def test_weights_that_cannot_be_downloaded_fail_at_once_with_ways_on(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    started = time.monotonic()
    with pytest.raises(ConfigError, match=r"cannot be downloaded .*backbone=efficientnet_lite0"):
        build_backbone(config(**settings))
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "keras"}, r"backbone\.source should be one of timm, torchvision, but is 'keras'"),
        ({"architecture": "resnet1"}, r"timm has no architecture 'resnet1'; similar: .*resnet"),
        ({"source": "torchvision", "architecture": "resnet1"}, "torchvision has no classification architecture"),
        ({"source": "torchvision", "architecture": "resnet18", "weights": "V9"}, "torchvision has no weights 'V9'"),
        ({"architecture": "resnet18", "weights": "none_such"}, "timm has no weights 'none_such'"),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(settings, message):
    with pytest.raises(ConfigError, match=message):
        build_backbone(config(**settings))


def test_the_label_head_does_not_depend_on_the_cf_head():
    with_head, without = (MultitaskNetwork(config(), 3, size, seed=1) for size in (4, None))
    assert torch.equal(with_head.label_head.weight, without.label_head.weight)
    logits, cf_pred = with_head.eval()(IMAGES)
    assert (logits.shape, cf_pred.shape) == ((2, 3), (2, 4))
    assert without.eval()(IMAGES)[1] is None


def test_building_a_network_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    MultitaskNetwork(config(), 3, 4, seed=1)
    assert torch.equal(torch.rand(1), expected)
