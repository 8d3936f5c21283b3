"""Image networks by name, from timm or torchvision, for one image size."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from src.classifiers.models.weights import (
    IMAGENET,
    PACKAGE,
    Normalisation,
    check_hub,
    check_torchvision,
    is_path,
    load_weights,
)
from src.config.classifiers import BackboneConfig
from src.errors import ConfigError

logger = logging.getLogger(__name__)

N_IMAGENET = 1000  # outputs of the classifier that torchvision's networks end in
STEP = 32  # most networks halve an image five times


class Backbone(NamedTuple):
    """A network from normalised images [B, 3, S, S] to features [B, n_features], and its normalisation."""

    network: nn.Module
    n_features: int
    normalisation: Normalisation


def build_backbone(cfg: BackboneConfig, image_size: int) -> Backbone:
    """Build the network that ``cfg`` names for images of one size; the length of its features is measured.

    Raises:
        ConfigError: The architecture or weights are unknown, the weights cannot be downloaded or do not fit, or the
            network does not accept this size, or returns no vector for an image.
    """
    build, known = _timm(cfg) if cfg.source == "timm" else _torchvision(cfg)
    try:
        network = build(image_size)
        n_features = _width(network, cfg.architecture, image_size)
    except ConfigError:
        raise
    except Exception as error:  # networks reject a size in many ways; the cause is chained
        sizes = ", ".join(map(str, _sizes_that_work(build, cfg.architecture, image_size))) or "none that was tried"
        why = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise ConfigError(
            f"{cfg.architecture} takes no images of {image_size} px ({why}); sizes that work: {sizes}. Set image_size."
        ) from error
    load_weights(network, cfg)
    mean, std = (tuple(given) if given else own for given, own in zip((cfg.mean, cfg.std), known, strict=True))
    return Backbone(network, n_features, Normalisation(mean, std))


def _timm(cfg: BackboneConfig) -> tuple[Callable[[int], nn.Module], Normalisation]:
    """A function that builds the network for an image size, and the normalisation of its weights."""
    import timm

    if not timm.is_model(cfg.architecture):
        near = ", ".join(timm.list_models(f"*{cfg.architecture.split('_')[0]}*")[:8]) or "see timm.list_models()"
        raise ConfigError(f"timm has no architecture {cfg.architecture!r}; similar: {near}.")
    pretrained = cfg.weights is not None and cfg.weights != PACKAGE and not is_path(cfg.weights)
    name = f"{cfg.architecture.split('.')[0]}.{cfg.weights}" if pretrained else cfg.architecture
    known = IMAGENET
    if pretrained:
        available = timm.list_models(f"{name.split('.')[0]}.*", pretrained=True)
        if name not in available:
            tags = ", ".join(model.split(".", 1)[1] for model in available) or "none"
            raise ConfigError(f"timm has no weights {cfg.weights!r} for this architecture; it has: {tags}.")
        about: Any = timm.get_pretrained_cfg(name)
        check_hub(str(about.hf_hub_id), name)
        known = Normalisation.known(about.mean, about.std, name)
    elif cfg.weights == PACKAGE:
        known = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

    def build(size: int) -> nn.Module:
        make = partial(timm.create_model, name, pretrained=pretrained, num_classes=0)
        return _first_that_fits(make, [{"img_size": size}, {}])

    return build, known


def _torchvision(cfg: BackboneConfig) -> tuple[Callable[[int], nn.Module], Normalisation]:
    """As ``_timm``, of torchvision."""
    from torchvision import models

    names = models.list_models(module=models)
    if cfg.architecture not in names:
        raise ConfigError(
            f"torchvision has no classification architecture {cfg.architecture!r}; it has: {', '.join(names)}."
        )
    weights, known = None, IMAGENET
    if cfg.weights is not None and not is_path(cfg.weights):
        weights = check_torchvision(models.get_model_weights(cfg.architecture), cfg)
        transforms: Any = weights.transforms()
        known = Normalisation.known(transforms.mean, transforms.std, f"{cfg.architecture} {cfg.weights}")

    def build(size: int) -> nn.Module:
        auxiliary = {"aux_logits": False, "init_weights": weights is None}
        options: list[dict[str, Any]] = [auxiliary, {"image_size": size}, {"input_size": (size, size)}, {}]
        network = _first_that_fits(partial(models.get_model, cfg.architecture, weights=weights), options)
        _remove_classifier(network)
        return network

    return build, known


def _first_that_fits(make: Callable[..., nn.Module], options: Sequence[Mapping[str, Any]]) -> nn.Module:
    """Build the network with the first of ``options`` that its constructor accepts."""
    for option in options[:-1]:
        try:
            return make(**option)
        except TypeError as error:
            if not any(name in str(error) for name in option):
                raise
    return make(**options[-1])


def _remove_classifier(network: nn.Module) -> None:
    """Replace the last layer with an output for each ImageNet class by the identity."""
    for name, layer in reversed(list(network.named_modules())):
        if N_IMAGENET in (getattr(layer, "out_features", 0), getattr(layer, "out_channels", 0)):
            network.set_submodule(name, nn.Identity())
            return
    raise ConfigError(f"{type(network).__name__} has no layer with {N_IMAGENET} outputs to take features before.")


def _width(network: nn.Module, architecture: str, size: int) -> int:
    """Length of the feature vectors, measured with images of this size."""
    was_training = network.training
    with torch.no_grad():
        output = network.eval()(torch.zeros(2, 3, size, size))
    network.train(was_training)
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        shape = list(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise ConfigError(
            f"{architecture} should give one vector an image, [2, d] for two of them, but gives {shape}; choose a "
            "network with a pooled output."
        )
    return output.shape[1]


def _sizes_that_work(build: Callable[[int], nn.Module], architecture: str, size: int) -> list[int]:
    """Sizes near ``size``, and 224, that the network accepts."""
    working = []
    for candidate in sorted({max(STEP, size // STEP * STEP), (size // STEP + 1) * STEP, 224}):
        try:
            _width(build(candidate), architecture, candidate)
        except Exception as error:  # as in build_backbone
            logger.debug("%s at %d px: %s", architecture, candidate, error)
        else:
            working.append(candidate)
    return working
