"""How a whole image becomes the detector's square input."""

from garment_keypoints.pipeline.contract import geometry
from garment_keypoints.pipeline.contract.crops import whole_images
from torch import Tensor


def input_affines(sizes_wh: Tensor, size: int) -> Tensor:
    """Return the affines (B, 2, 3) that fit whole images of sizes_wh (B, 2) into square inputs."""
    return geometry.crop_from_image(whole_images(sizes_wh).float(), (size, size))
