import socket
import time
import urllib.error

import pytest
import timm
import torch
from safetensors.torch import save_file

from src.classifiers.models import weights
from src.classifiers.models.backbones import build_backbone
from src.classifiers.models.heads import Heads
from src.classifiers.models.network import ImageFeatures, MultitaskNetwork
from src.classifiers.models.weights import Normalisation
from src.config.classifiers import BackboneConfig
from src.errors import ConfigError
from tests.pipeline import compose_config

IMAGES = torch.rand(2, 3, 64, 64)


def config(**changes):
    return BackboneConfig(**{"name": "b", "source": "timm", "architecture": "test_resnet", **changes})


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_, **__):
        raise urllib.error.URLError(socket.gaierror("no internet"))

    monkeypatch.setattr(weights.urllib.request, "urlopen", refuse)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18", "mobilenet_v2", "regnet_y_400mf"])
def test_each_backbone_config_builds_and_maps_images_to_features(name):
    cfg = compose_config("train_classifier", f"backbone={name}").backbone
    assert cfg.name == name
    if cfg.weights == "IMAGENET1K_V1":
        cfg.weights = None  # downloading is not possible everywhere
    network, n_features, _ = build_backbone(cfg, 64)
    assert network(IMAGES).shape == (2, n_features)


def test_the_default_backbone_takes_every_array_of_its_package():
    network, *_ = build_backbone(compose_config("train_classifier").backbone, 64)
    state, loaded = weights._package_state("tf_efficientnet_lite0"), network.state_dict()
    for ours, theirs in {
        "conv_stem.weight": "_conv_stem.weight",
        "blocks.2.1.conv_dw.weight": "_blocks.4._depthwise_conv.weight",
        "blocks.6.0.bn3.running_var": "_blocks.15._bn2.running_var",
        "conv_head.weight": "_conv_head.weight",
        "bn2.bias": "_bn1.bias",
    }.items():
        assert torch.equal(loaded[ours], state[theirs]), ours


def test_weights_from_a_local_file(tmp_path):
    network, *_ = build_backbone(config(), 64)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    for suffix in ("pth", "safetensors"):
        loaded, *_ = build_backbone(config(weights=str(tmp_path / f"w.{suffix}")), 64)
        assert all(torch.equal(value, network.state_dict()[name]) for name, value in loaded.state_dict().items())


def test_a_file_that_does_not_fit_is_refused(tmp_path):
    torch.save({"other": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(ConfigError, match=r"is missing .* of the backbone's"):
        build_backbone(config(weights=str(tmp_path / "w.pth")), 64)
    (tmp_path / "w.pth").write_bytes(b"no weights")
    with pytest.raises(ConfigError, match="is no file of plain weights"):
        build_backbone(config(weights=str(tmp_path / "w.pth")), 64)
    with pytest.raises(ConfigError, match="does not exist"):
        build_backbone(config(weights="missing.pth"), 64)
    with pytest.raises(ConfigError, match=r"is for tf_efficientnet_lite0, .*, but not for test_resnet"):
        build_backbone(config(weights="package"), 64)


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
        build_backbone(config(**settings), 64)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architecture": "resnet1"}, r"timm has no architecture 'resnet1'; similar: .*resnet"),
        ({"source": "torchvision", "architecture": "resnet1"}, "torchvision has no classification architecture"),
        ({"source": "torchvision", "architecture": "resnet18", "weights": "V9"}, "torchvision has no weights 'V9'"),
        ({"architecture": "resnet18", "weights": "none_such"}, "timm has no weights 'none_such'"),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(settings, message):
    with pytest.raises(ConfigError, match=message):
        build_backbone(config(**settings), 64)


@pytest.mark.parametrize("n", [1, 2])
def test_larger_lite_networks_take_every_array_of_their_packages(n):
    cfg = compose_config("train_classifier", f"backbone=efficientnet_lite{n}").backbone
    network, n_features, normalisation = build_backbone(cfg, 96)
    state, loaded = weights._package_state(f"tf_efficientnet_lite{n}"), network.state_dict()
    assert torch.equal(loaded["conv_head.weight"], state["_conv_head.weight"])
    assert torch.equal(loaded["conv_stem.weight"], state["_conv_stem.weight"])
    assert (n_features, normalisation.mean, normalisation.std) == (1280, (0.5,) * 3, (0.5,) * 3)


def test_pixels_are_normalised_as_the_weights_were_trained_unless_told():
    own = timm.get_pretrained_cfg("vit_tiny_patch16_224.augreg_in21k_ft_in1k")
    assert Normalisation.known(own.mean, own.std, "x").mean == (0.5, 0.5, 0.5)
    assert build_backbone(config(), 64).normalisation == weights.IMAGENET
    told = build_backbone(config(mean=[0.1, 0.2, 0.3], std=[1.0, 2.0, 3.0]), 64).normalisation
    assert told == ((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    features = ImageFeatures(config(mean=[0.1, 0.2, 0.3], std=[1.0, 2.0, 3.0]), 64).eval()
    by_hand = (IMAGES - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    assert torch.equal(features(IMAGES), features.backbone(by_hand))
    with pytest.raises(ConfigError, match=r"The config of w has no mean or std; set backbone\.mean"):
        Normalisation.known(None, None, "w")


def test_a_network_without_pooled_output_is_refused(monkeypatch):
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: torch.nn.Conv2d(3, 4, 1))
    with pytest.raises(
        ConfigError, match=r"should give one vector an image, \[2, d\] for two of them, but gives \[2, 4"
    ):
        build_backbone(config(), 64)


def test_building_a_network_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    MultitaskNetwork(ImageFeatures(config(), 64, seed=1), Heads(512, 3, 4, seed=1))
    assert torch.equal(torch.rand(1), expected)
