"""What each of several processes has of a batch: whether there are others, waiting for them, and the weight of a share."""

import torch
import torch.distributed as dist
from torch import Tensor


def connected() -> bool:
    """Tell whether this process has others to talk to."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def barrier() -> None:
    """Wait until every rank is here; on one device, do nothing."""
    if connected():
        dist.barrier()


def share(weight: Tensor) -> Tensor:
    """Return what to multiply this rank's mean loss with, so that the mean over ranks is that over the whole batch.

    `weight` () is the sum that the rank's mean was divided by: its images, or the weights of its points.
    """
    if not connected():
        return torch.ones_like(weight)
    total = weight.detach().clone()
    dist.all_reduce(total)
    return weight.detach() * dist.get_world_size() / total.clamp(min=1e-6)
