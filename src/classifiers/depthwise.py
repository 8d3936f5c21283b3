"""Depthwise convolutions whose weight gradient is fast on small maps on the CPU.

For an output map smaller than the kernel (5 x 5 kernels on 3 x 3 maps, as at the end of most mobile networks at 48 to
96 px) the library's CPU kernel takes 6 to 20 times as long as the few products that the gradient consists of, and
up to a third of a training step.
"""

from typing import Any

import torch
from timm.layers import Conv2dSame
from timm.layers.padding import pad_same
from torch import Tensor, nn
from torch.nn import functional

Pair = tuple[int, int]


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution that takes the fast way where there is one, and torch's anywhere else.

    Outputs and input gradients are torch's; weight gradients differ by rounding.
    """

    pads_like_tensorflow: bool

    @classmethod
    def take_over(cls, module: nn.Conv2d) -> "DepthwiseConv2d":
        """The same layer with the same parameters."""
        layer = cls.__new__(cls)
        layer.__dict__ = module.__dict__
        layer.pads_like_tensorflow = isinstance(module, Conv2dSame)
        return layer

    def forward(self, images: Tensor) -> Tensor:
        """Convolve [B, C, H, W]."""
        padding: Any = self.padding
        if self.pads_like_tensorflow:
            images = pad_same(images, list(self.kernel_size), list(self.stride))
            padding = (0, 0)
        arguments: Any = images, self.weight, self.stride, padding
        if torch.is_grad_enabled() and self.weight.requires_grad and _is_small(*arguments):
            result: Tensor = _SmallMapConvolution.apply(*arguments)
            return result
        return functional.conv2d(images, self.weight, None, self.stride, padding, 1, self.groups)


def speed_up_depthwise(network: nn.Module) -> None:
    """Replace the depthwise convolutions of a network; its parameters and their names stay."""
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d) and _is_plain_depthwise(module):
            network.set_submodule(name, DepthwiseConv2d.take_over(module))


def depthwise_weight_gradient(images: Tensor, gradient: Tensor, kernel: Pair, stride: Pair, padding: Pair) -> Tensor:
    """Gradient of a depthwise convolution's weights: a sum of products for each place in the kernel.

    Args:
        images: Input, [B, C, H, W].
        gradient: Gradient of the output, [B, C, H', W'].
        kernel: Height and width.
        stride: Down and across.
        padding: Zeros above and below, and left and right.

    Returns:
        [C, 1, *kernel].
    """
    images, gradient = images.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1)
    result = images.new_zeros(*kernel, images.shape[-1])
    for row in range(kernel[0]):
        into_y, from_y = _overlap(row - padding[0], stride[0], images.shape[1], gradient.shape[1])
        for column in range(kernel[1]):
            into_x, from_x = _overlap(column - padding[1], stride[1], images.shape[2], gradient.shape[2])
            torch.sum(images[:, from_y, from_x] * gradient[:, into_y, into_x], dim=(0, 1, 2), out=result[row, column])
    return result.permute(2, 0, 1).unsqueeze(1)


class _SmallMapConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(images, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        (images, weight), gradient = ctx.saved_tensors, gradients[0]
        wanted = [ctx.needs_input_grad[0], False, False]
        by_input = torch.ops.aten.convolution_backward(
            gradient, images, weight, None, ctx.stride, ctx.padding, [1, 1], False, [0, 0], len(weight), wanted
        )[0]
        by_weight = depthwise_weight_gradient(images, gradient, weight.shape[2:], ctx.stride, ctx.padding)
        return by_input, by_weight, None, None


def _is_plain_depthwise(module: nn.Conv2d) -> bool:
    return (
        1 < module.groups == module.in_channels == module.out_channels
        and module.bias is None
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )


def _is_small(images: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> bool:
    sides = [
        (size + 2 * pad - kernel) // step + 1
        for size, kernel, step, pad in zip(images.shape[2:], weight.shape[2:], stride, padding, strict=True)
    ]
    full_precision = images.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return images.device.type == "cpu" and full_precision and max(sides) < min(weight.shape[2:])


def _overlap(shift: int, stride: int, n_inputs: int, n_outputs: int) -> tuple[slice, slice]:
    """Outputs for which input ``output * stride + shift`` exists, and these inputs."""
    first = max(0, -(shift // stride))
    last = min(n_outputs, (n_inputs - 1 - shift) // stride + 1)
    last = max(first, last)
    start = first * stride + shift
    return slice(first, last), slice(start, start + (last - first) * stride, stride)
