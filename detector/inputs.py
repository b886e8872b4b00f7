"""How a whole image becomes the detector's square input."""

from torch import Tensor

from pipeline.contract import geometry
from pipeline.contract.crops import whole_images


def input_affines(sizes_wh: Tensor, size: int) -> Tensor:
    """Return the affines (B, 2, 3) that fit whole images of sizes_wh (B, 2) into square inputs."""
    return geometry.crop_from_image(whole_images(sizes_wh).float(), (size, size))
