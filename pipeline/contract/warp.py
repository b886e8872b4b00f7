"""The one warp: crops cut out of images by affines, in torch, on whatever device the batch has arrived on.

Training and inference both cut their crops here; two implementations would bring back the mismatch that the project exists
to remove.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.contract.geometry import invert

MAX_SUPERSAMPLES = 8
OUTSIDE = 127.0
"""What a crop shows outside its picture: grey, in the middle of what the networks take."""

MAX_FLOATS = 2**25
"""Working memory of `crop`, in floats: large photos are cut one after the other instead of all at once."""


def crop(
    images: Tensor,
    affine: Tensor,
    size_wh: tuple[int, int],
    sizes_wh: Tensor | None = None,
    source: Tensor | None = None,
    fill: float = OUTSIDE,
    reduced: Tensor | None = None,
) -> Tensor:
    """Cut crops float32 (N, 3, h, w) of 0..255 out of images (B, 3, H, W), by affines crop_from_image (N, 2, 3).

    The only warp of the project: bilinear, and where the crop is smaller than what it shows, the average of n x n samples
    a pixel, n the minification rounded up (above MAX_SUPERSAMPLES of an image that was averaged over whole pixels first).
    `sizes_wh` (B, 2) are the real sizes of padded images, `source` (N,) the image of each crop (default: one crop an image),
    `reduced` (B,) how many pixels of the picture, each way, a pixel of `images` stands for (default: 1); affines and sizes are
    of the whole picture. What lies outside the picture is `fill`.
    """
    source = torch.arange(len(images), device=images.device) if source is None else source
    height, width = images.shape[-2:]
    if sizes_wh is None:
        sizes_wh = torch.tensor([[width, height]], device=images.device).expand(len(images), 2)
    reduced = torch.ones_like(sizes_wh[:, 0]) if reduced is None else reduced
    sizes_wh = sizes_wh // reduced[:, None]
    # Grouping by n keeps a crop independent of what else is in its batch.
    det = (affine[:, 0, 0] * affine[:, 1, 1] - affine[:, 0, 1] * affine[:, 1, 0]).abs()
    samples = torch.ceil(det.rsqrt() / reduced[source] - 1e-3).clamp(min=1).long()
    out = torch.empty(len(affine), images.shape[1], size_wh[1], size_wh[0], device=images.device)
    if not len(affine):
        return out
    at_once = max(
        1,
        MAX_FLOATS
        // (images[0].numel() + 5 * size_wh[0] * size_wh[1] * min(int(samples.max()), MAX_SUPERSAMPLES) ** 2),
    )
    for n in samples.unique().tolist():
        for rows in (samples == n).nonzero()[:, 0].split(at_once):
            chosen = source[rows]
            known = images[chosen].float().sub_(fill)
            image_from_crop = invert(affine[rows].float()) / reduced[chosen, None, None]
            out[rows] = _sample(known, sizes_wh[chosen], image_from_crop, size_wh, n)
    return out.add_(fill)


def _sample(images: Tensor, sizes_wh: Tensor, image_from_crop: Tensor, size_wh: tuple[int, int], n: int) -> Tensor:
    """Average n x n bilinear samples a crop pixel; images (N, 3, H, W) hold 0 where nothing is known."""
    height, width = images.shape[-2:]
    if bool((sizes_wh != sizes_wh.new_tensor([width, height])).any()):
        columns, rows = torch.arange(width, device=images.device), torch.arange(height, device=images.device)
        inside = (columns < sizes_wh[:, :1])[:, None, None, :] & (rows < sizes_wh[:, 1:])[:, None, :, None]
        images = images * inside
    shrink = -(-n // MAX_SUPERSAMPLES)
    if shrink > 1:
        # Means of shrink x shrink pixels; the frame is continuous, so that coordinates are only divided.
        images = F.avg_pool2d(F.pad(images, (0, -width % shrink, 0, -height % shrink)), shrink)
        height, width = images.shape[-2:]
        image_from_crop, n = image_from_crop / shrink, -(-n // shrink)
    w, h = size_wh
    x = (torch.arange(w * n, device=images.device) + 0.5) / n
    y = (torch.arange(h * n, device=images.device) + 0.5) / n
    # grid_sample counts from -1 to 1 between the outer edges of the image.
    to_grid = torch.tensor([2 / width, 2 / height], device=images.device)
    m = image_from_crop * to_grid[:, None]
    grid = torch.empty(len(images), h * n, w * n, 2, device=images.device)
    for axis in range(2):
        from_x = m[:, axis, 0, None] * x + m[:, axis, 2, None] - 1
        from_y = m[:, axis, 1, None] * y
        torch.add(from_x[:, None, :], from_y[:, :, None], out=grid[..., axis])
    sampled = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return sampled if n == 1 else F.avg_pool2d(sampled, n)
