"""Freezing the first stages of a backbone: their backward pass is saved, and small datasets overfit less."""

from torch import nn

from src.errors import ConfigError

CONTAINERS = ("blocks", "features", "trunk_output", "stages")
"""Names under which torchvision's and timm's networks keep their stages as one sequence."""


def backbone_stages(backbone: nn.Module) -> list[list[nn.Module]]:
    """The modules with parameters in the order of the forward pass; a normalisation belongs to what it follows."""
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
    """Stop the first ``n_stages`` from learning, and return their modules, which must stay in evaluation mode.

    Raises:
        ConfigError: The backbone does not have more stages than that.
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
