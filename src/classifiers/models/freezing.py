"""Freezing the first stages of a backbone: training is faster, and small datasets overfit less."""

from torch import nn

from src.errors import ConfigError

CONTAINERS = ("blocks", "features", "trunk_output", "stages")
"""Names of the sequence of stages in torchvision's and timm's networks."""


def backbone_stages(backbone: nn.Module) -> list[list[nn.Module]]:
    """The modules with parameters in the order of the forward pass; a normalisation joins the module before it."""
    modules: list[nn.Module] = []
    for name, child in backbone.named_children():
        inner = child.children() if name in CONTAINERS and isinstance(child, nn.Sequential) else [child]
        modules += [module for module in inner if any(True for _ in module.parameters())]
    stages: list[list[nn.Module]] = []
    for module in modules:
        if stages and isinstance(module, nn.modules.batchnorm._NormBase):
            stages[-1].append(module)
        else:
            stages.append([module])
    return stages


def freeze_stages(backbone: nn.Module, n_stages: int) -> list[nn.Module]:
    """Freeze the first ``n_stages``, and return their modules, which must stay in evaluation mode.

    Raises:
        ConfigError: The backbone has too few stages.
    """
    stages = backbone_stages(backbone)
    if not 0 <= n_stages < len(stages):
        raise ConfigError(
            f"backbone.frozen_stages should be 0 to {len(stages) - 1} for this architecture, but is {n_stages}."
        )
    frozen = [module for stage in stages[:n_stages] for module in stage]
    for module in frozen:
        module.requires_grad_(False)
    return frozen
