"""Errors by point, (N, K), and what is written once around them: weights, hard points, the mean over stages."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from garment_keypoints.keypoints.codecs.integral import map_means
from garment_keypoints.pipeline.contract.protocols import Loss, Outputs
from garment_keypoints.pipeline.learning.shares import share
from torch import Tensor


class BalancedMSE:
    """Squared error, averaged over the blob and over the rest by itself, so that all zeros is no bargain.

    A plain mean is 99 % background, and a network that answers zero everywhere is nearly right.
    """

    takes = ("heatmap",)

    def __call__(self, outputs: Outputs, target: Outputs) -> Tensor:
        """Return the error (N, K) of maps (N, K, h, w)."""
        return _balanced((outputs["maps"].float() - target["maps"]) ** 2, target["maps"])


def _balanced(error: Tensor, targets: Tensor) -> Tensor:
    """Return the mean error (N, K) over the blob of targets (N, K, h, w) of 0..1, plus that over the rest."""
    blob = (error * targets).sum((-2, -1)) / targets.sum((-2, -1)).clamp(min=1e-6)
    rest = (error * (1 - targets)).sum((-2, -1)) / (1 - targets).sum((-2, -1)).clamp(min=1e-6)
    return blob + rest


class BCE:
    """Binary cross-entropy of logits, balanced as BalancedMSE is; its gradient does not vanish where a sigmoid saturates."""

    takes = ("probability",)

    def __call__(self, outputs: Outputs, target: Outputs) -> Tensor:
        """Return the error (N, K) of logits (N, K, h, w)."""
        error = F.binary_cross_entropy_with_logits(outputs["maps"].float(), target["maps"], reduction="none")
        return _balanced(error, target["maps"])


class CrossEntropy:
    """Cross-entropy between the softmax of each map, or row of bins, and its target distribution."""

    takes = ("distribution", "marginals")

    def __call__(self, outputs: Outputs, target: Outputs) -> Tensor:
        """Return the cross-entropy (N, K) of maps (N, K, h, w), or the sum of those of x (N, K, X) and y (N, K, Y)."""
        names = ("maps",) if "maps" in outputs else ("x", "y")
        logits = [(target[name].flatten(2), outputs[name].float().flatten(2)) for name in names]
        return sum(-(wanted * F.log_softmax(given, -1)).sum(-1) for wanted, given in logits)


class DSNT:
    """Distance of a map's mean, and the Jensen-Shannon divergence of the map (Nibali et al. 2018, 1801.07372).

    Without the second the mean may be right and the map anything. The crop's side counts 2, as in the paper.
    """

    takes = ("mean",)

    def __call__(self, outputs: Outputs, target: Outputs) -> Tensor:
        """Return the error (N, K) of maps (N, K, h, w); a target without points, the background's, has its map alone."""
        divergence = _jensen_shannon(torch.softmax(outputs["maps"].float().flatten(2), -1), target["maps"].flatten(2))
        if "xy" not in target:
            return divergence
        return 2 * (map_means(outputs["maps"]) - target["xy"]).norm(dim=-1) + divergence


def _jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """Return the divergence (N, K), in nats, of distributions p and q (N, K, cells)."""
    least = torch.finfo(torch.float32).tiny
    middle = ((p + q) / 2).clamp(min=least).log()
    return sum((part * (part.clamp(min=least).log() - middle)).sum(-1) for part in (p, q)) / 2


class SmoothL1:
    """Distance by axis, squared near zero (Girshick 2015, 1504.08083); `beta` is a twentieth of the crop."""

    takes = ("coordinates", "pixels")

    def __call__(self, outputs: Outputs, target: Outputs) -> Tensor:
        """Return the error (N, K) of points xy (N, K, 2) in fractions of the crop (or, with the pixels codec, in pixels)."""
        return F.smooth_l1_loss(outputs["xy"].float(), target["xy"], reduction="none", beta=0.05).sum(-1)


LOSSES: dict[str, type] = {
    "mse": BalancedMSE,
    "bce": BCE,
    "cross_entropy": CrossEntropy,
    "dsnt": DSNT,
    "smooth_l1": SmoothL1,
}


def supervise(
    loss: Loss, stages: Sequence[Outputs], target: Outputs, weight: Tensor, hard_keypoints: int = 0
) -> Tensor:
    """Mean over the stages of the errors' means by weight (N, K); 0 when nothing has a weight, however wrong the outputs.

    `hard_keypoints` keeps in the last stage only so many points of each crop, those of the largest weighted error (OHKM,
    Chen et al. 2018, 1711.07319); 0 keeps all. Of several ranks each returns its part of that mean over the whole batch.
    """
    *early, last = (_errors(loss, outputs, target) for outputs in stages)
    hard = weight
    if hard_keypoints:
        weighted = torch.where(weight > 0, last, 0.0).detach() * weight
        hardest = weighted.topk(min(hard_keypoints, weight.shape[1]), dim=1).indices
        last, hard = last.gather(1, hardest), weight.gather(1, hardest)
    return torch.stack([*(_mean(errors, weight) for errors in early), _mean(last, hard)]).mean()


def _errors(loss: Loss, outputs: Outputs, target: Outputs) -> Tensor:
    """Return the errors (N, K) of one stage; where it has a map of the background, that one's is shared by all points."""
    errors = loss(outputs, target)
    if "background" in outputs:
        errors = errors + loss({"maps": outputs["background"]}, {"maps": target["background"]})
    return errors


def _mean(errors: Tensor, weight: Tensor) -> Tensor:
    total = weight.sum()
    return (torch.where(weight > 0, errors, 0.0) * weight).sum() / total.clamp(min=1e-6) * share(total)
