"""The theoretical receptive field of a network (Araujo et al. 2019, distill.pub), found by its gradient.

The gradient of a real network is zero along most paths: dead ReLUs, pooling that chose another pixel, branches that start
at zero. So a copy is looked at that mixes the same cells with positive weights and nothing else, where every path counts.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

MIXING = (nn.modules.conv._ConvNd, nn.Linear)
POINTWISE = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Dropout),
    *(nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish),
    *(nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm),
)
"""Layers that are taken away. Of a normalisation, what it takes from the rest of the map is left out on purpose."""
TRIALS = ((128, 127), (0, 1))
"""Least value and range of random pictures: above 0 once standardised, and for networks that take them as they are."""


@dataclass(frozen=True)
class ReceptiveField:
    """Extent in input pixels of what an output cell depends on; one that reaches the picture's edge may be cut there."""

    width: int
    height: int
    whole: bool
    cut: bool

    def __str__(self) -> str:
        if self.whole:
            return "whole crop"
        return f"{'at least ' if self.cut else ''}{self.width} x {self.height} px"


def receptive_field(network: nn.Module, size: int, head: Callable[[nn.Module, Tensor], Tensor]) -> ReceptiveField:
    """Find what the central cell (h // 2, w // 2) of a head's map (1, C, h, w) depends on, in pictures of size x size.

    `head` calls the network and returns the map; an output of another shape has no cells and is taken as a whole.
    """
    mixing, chance = _mixing(network), torch.Generator().manual_seed(0)
    reached = torch.zeros(size, size, dtype=torch.bool)
    for least, extent in TRIALS:
        images = least + extent * torch.rand(1, 3, size, size, generator=chance, dtype=torch.float64)
        output = head(mixing, images.requires_grad_())
        if output.ndim == 4:
            output = output[:, :, output.shape[2] // 2, output.shape[3] // 2]
        weights = torch.rand(output.shape, generator=chance, dtype=torch.float64) + 0.5
        (gradient,) = torch.autograd.grad((output * weights).sum(), images)
        reached |= (gradient != 0).any(1)[0]
    rows, columns = (reached.any(axis).nonzero().flatten() for axis in (1, 0))
    if not len(rows):
        return ReceptiveField(0, 0, whole=False, cut=False)
    extents = [int(at[-1] - at[0] + 1) for at in (columns, rows)]
    cut = any(int(at[0]) == 0 or int(at[-1]) == size - 1 for at in (rows, columns))
    return ReceptiveField(*extents, whole=extents == [size, size], cut=cut)


def _mixing(network: nn.Module) -> nn.Module:
    """Return a copy in float64 with positive weights, averages for maxima, and without what acts on a cell alone."""
    twin, chance = copy.deepcopy(network).double().eval(), torch.Generator().manual_seed(0)
    for part in list(twin.modules()):
        for name, child in part.named_children():
            if isinstance(child, POINTWISE):
                setattr(part, name, nn.Identity())
            elif isinstance(child, nn.MaxPool2d):
                setattr(part, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode))
    twin.requires_grad_(False)
    for part in twin.modules():
        if isinstance(part, MIXING):
            drawn = torch.rand(part.weight.shape, generator=chance, dtype=torch.float64) + 0.5
            part.weight.copy_(drawn / part.weight[0].numel())
    return twin
