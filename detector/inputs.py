"""How a whole image becomes the detector's square input."""

import torch
from torch import Tensor

from pipeline.contract import geometry


def input_affines(sizes_wh: Tensor, size: int) -> Tensor:
    """Return the affines (B, 2, 3) that fit whole images of sizes_wh (B, 2) into square inputs."""
    whole = torch.cat([torch.zeros_like(sizes_wh), sizes_wh], -1).float()
    return geometry.crop_from_image(whole, (size, size))
