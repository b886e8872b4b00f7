"""Losses on maps: outputs and targets (N, K, h, w), target_weight (N, K); points of weight 0 have no influence."""

import torch
import torch.nn.functional as F
from torch import Tensor


def balanced_mse(outputs: Tensor, targets: Tensor, target_weight: Tensor) -> Tensor:
    """Squared error, averaged over the blob and over the rest by itself, so that all zeros is no bargain.

    A plain mean is 99 % background, and a network that answers zero everywhere is nearly right.
    """
    error = (outputs.float() - targets) ** 2
    blob = (error * targets).sum((-2, -1)) / targets.sum((-2, -1)).clamp(min=1e-6)
    rest = (error * (1 - targets)).sum((-2, -1)) / (1 - targets).sum((-2, -1)).clamp(min=1e-6)
    return _weighted_mean(blob + rest, target_weight)


def cross_entropy(outputs: Tensor, targets: Tensor, target_weight: Tensor) -> Tensor:
    """Cross-entropy between each map's softmax and its target distribution."""
    log_p = F.log_softmax(outputs.float().flatten(2), -1)
    return _weighted_mean(-(targets.flatten(2) * log_p).sum(-1), target_weight)


def _weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of values (N, K) by weight; 0 when nothing has a weight."""
    return (torch.where(weight > 0, values, 0.0) * weight).sum() / weight.sum().clamp(min=1e-6)


LOSSES = {"mse": balanced_mse, "cross_entropy": cross_entropy}
FITTING = {"heatmap": ("mse",), "softmax": ("cross_entropy",)}
"""Which losses fit the outputs of which codec."""
