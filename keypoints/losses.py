"""Errors by point, (N, K), and what is written once around them: weights, hard points, the mean over stages."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.contract.protocols import Loss, Outputs
from pipeline.learning.synchronised import share


class BalancedMSE:
    """Squared error, averaged over the blob and over the rest by itself, so that all zeros is no bargain.

    A plain mean is 99 % background, and a network that answers zero everywhere is nearly right.
    """

    takes = ("heatmap",)

    def __call__(self, outputs: Outputs, target: Outputs) -> Tensor:
        """Return the error (N, K) of maps (N, K, h, w)."""
        targets = target["maps"]
        error = (outputs["maps"].float() - targets) ** 2
        blob = (error * targets).sum((-2, -1)) / targets.sum((-2, -1)).clamp(min=1e-6)
        rest = (error * (1 - targets)).sum((-2, -1)) / (1 - targets).sum((-2, -1)).clamp(min=1e-6)
        return blob + rest


class CrossEntropy:
    """Cross-entropy between each map's softmax and its target distribution."""

    takes = ("distribution",)

    def __call__(self, outputs: Outputs, target: Outputs) -> Tensor:
        """Return the cross-entropy (N, K) of maps (N, K, h, w)."""
        log_p = F.log_softmax(outputs["maps"].float().flatten(2), -1)
        return -(target["maps"].flatten(2) * log_p).sum(-1)


class SmoothL1:
    """Distance by axis, squared near zero (Girshick 2015, 1504.08083); `beta` is a twentieth of the crop."""

    takes = ("coordinates",)

    def __call__(self, outputs: Outputs, target: Outputs) -> Tensor:
        """Return the error (N, K) of points xy (N, K, 2) in fractions of the crop."""
        return F.smooth_l1_loss(outputs["xy"].float(), target["xy"], reduction="none", beta=0.05).sum(-1)


LOSSES: dict[str, type] = {"mse": BalancedMSE, "cross_entropy": CrossEntropy, "smooth_l1": SmoothL1}


def supervise(
    loss: Loss, stages: Sequence[Outputs], target: Outputs, weight: Tensor, hard_keypoints: int = 0
) -> Tensor:
    """Mean by weight (N, K) of the errors, over all stages; 0 when nothing has a weight, however wrong the outputs.

    `hard_keypoints` keeps only so many points of each crop, those of the largest weighted error (OHKM, Chen et al. 2018,
    1711.07319); 0 keeps all. Of several ranks each returns its part of that mean over the whole batch.
    """
    values = torch.stack([loss(outputs, target) for outputs in stages]).mean(0)
    weighted = torch.where(weight > 0, values, 0.0) * weight
    if hard_keypoints:
        hardest = weighted.detach().topk(min(hard_keypoints, weighted.shape[1]), dim=1).indices
        weighted, weight = weighted.gather(1, hardest), weight.gather(1, hardest)
    total = weight.sum()
    return weighted.sum() / total.clamp(min=1e-6) * share(total)
