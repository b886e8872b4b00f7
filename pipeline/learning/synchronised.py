"""BatchNorm over the whole batch of several ranks: with `shares`, what makes their step the step of one."""

from typing import Any

import torch
import torch.distributed as dist
from garment_keypoints.pipeline.contract.faults import UserError
from pytorch_lightning.plugins.layer_sync import LayerSync
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _Synchronised(nn.BatchNorm2d):
    """BatchNorm with mean and variance of the whole batch, not only of this rank's share."""

    def forward(self, x: Tensor) -> Tensor:
        return _normalise(self, x) if self.training else super().forward(x)


class _SynchronisedAct(BatchNormAct2d):
    """The same with the activation that timm puts into it."""

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.drop(_normalise(self, x))) if self.training else super().forward(x)


_SYNCHRONISED = {nn.BatchNorm2d: _Synchronised, BatchNormAct2d: _SynchronisedAct}


class BatchNormSync(LayerSync):
    """Synchronises the BatchNorm of a network while it trains on several devices.

    torch's SyncBatchNorm runs on GPUs only, and its conversion loses the activation in timm's BatchNormAct2d.
    """

    def apply(self, model: Any) -> Any:
        for name, module in model.named_modules():
            if isinstance(module, _BatchNorm):
                if type(module) not in _SYNCHRONISED:
                    raise UserError(
                        f"{name} is a {type(module).__name__}, which cannot be synchronised between devices; use devices 1"
                    )
                module.__class__ = _SYNCHRONISED[type(module)]
        return model

    def revert(self, model: Any) -> Any:
        plain = {synchronised: own for own, synchronised in _SYNCHRONISED.items()}
        for module in model.modules():
            module.__class__ = plain.get(type(module), type(module))
        return model


class _Sum(torch.autograd.Function):
    """The sum over ranks; its gradient is the sum of theirs. torch's own is deprecated, its heir not yet public."""

    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


def _normalise(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        values = x if x.dtype == torch.float64 else x.float()
        own = values.new_tensor([values[:, 0].numel()])
        sums = _Sum.apply(torch.cat([values.sum((0, 2, 3)), own]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = values - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / count
        scale = torch.rsqrt(variance + norm.eps)
        if norm.affine:
            scale = scale * norm.weight
        result = centred * scale[:, None, None]
        if norm.affine:
            result = result + norm.bias[:, None, None]
        _remember(norm, mean, variance * (count / (count - 1).clamp(min=1)))
    return result.to(x.dtype)


@torch.no_grad()
def _remember(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    if norm.track_running_stats:
        norm.num_batches_tracked.add_(1)
        momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
        norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)
        norm.running_var.lerp_(variance.to(norm.running_var.dtype), momentum)
