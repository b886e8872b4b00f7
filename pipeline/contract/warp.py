"""The one warp: crops cut out of images by affines, in torch, on whatever device the batch has arrived on.

Training and inference both cut their crops here, or the mismatch would be back that the project exists to remove. There are two
ways of sampling to one result: any affine by places, and on a CPU a crop that is not turned by its rows and columns, in a third
of the time. tests/contract/test_warp.py holds one against the other, within float rounding.
"""

import torch
import torch.nn.functional as F
from garment_keypoints.pipeline.contract.geometry import invert
from torch import Tensor

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

    Bilinear, and where the crop is smaller than what it shows, the average of n x n samples
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
    image_from_crop = invert(affine.float()) / reduced[source, None, None]
    alone = _unturned(affine) & (images.device.type == "cpu")
    for row in alone.nonzero()[:, 0].tolist():
        w, h = sizes_wh[source[row]].tolist()
        image = images[source[row], :, :h, :w]
        out[row] = _sample_unturned(image, fill, image_from_crop[row], size_wh, int(samples[row]))
    at_once = max(
        1,
        MAX_FLOATS
        // (images[0].numel() + 5 * size_wh[0] * size_wh[1] * min(int(samples.max()), MAX_SUPERSAMPLES) ** 2),
    )
    for n in samples[~alone].unique().tolist():
        for rows in ((samples == n) & ~alone).nonzero()[:, 0].split(at_once):
            chosen = source[rows]
            known = images[chosen].float().sub_(fill)
            out[rows] = _sample(known, sizes_wh[chosen], image_from_crop[rows], size_wh, n)
    return out.add_(fill)


def _unturned(affine: Tensor) -> Tensor:
    """Return which crops (N,) stand as their images do, mirrored or not: all of prediction, some of training."""
    return (affine[:, 0, 1] == 0) & (affine[:, 1, 0] == 0)


def _sample(images: Tensor, sizes_wh: Tensor, image_from_crop: Tensor, size_wh: tuple[int, int], n: int) -> Tensor:
    """Average n x n bilinear samples a crop pixel; images (N, 3, H, W) hold 0 where nothing is known."""
    height, width = images.shape[-2:]
    if bool((sizes_wh != sizes_wh.new_tensor([width, height])).any()):
        columns, rows = torch.arange(width, device=images.device), torch.arange(height, device=images.device)
        inside = (columns < sizes_wh[:, :1])[:, None, None, :] & (rows < sizes_wh[:, 1:])[:, None, :, None]
        images = images * inside
    images, image_from_crop, n = _shrunk(images, image_from_crop, n)
    height, width = images.shape[-2:]
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


def _shrunk(images: Tensor, image_from_crop: Tensor, n: int) -> tuple[Tensor, Tensor, int]:
    """Average whole pixels first, where n samples a crop pixel each way would be too many; returns what is left to do."""
    shrink = -(-n // MAX_SUPERSAMPLES)
    if shrink == 1:
        return images, image_from_crop, n
    height, width = images.shape[-2:]
    # Means of shrink x shrink pixels; the frame is continuous, so that coordinates are only divided.
    images = F.avg_pool2d(F.pad(images, (0, -width % shrink, 0, -height % shrink)), shrink)
    return images, image_from_crop / shrink, -(-n // shrink)


def _sample_unturned(image: Tensor, fill: float, image_from_crop: Tensor, size_wh: tuple[int, int], n: int) -> Tensor:
    """Return what `_sample` does of an image (3, H, W), less `fill`, when the rows and columns of its crop are its own.

    They are averaged one after the other: a few weighted rows instead of n x n places in each pixel, which on a CPU takes a
    third of the time.
    """
    if n > MAX_SUPERSAMPLES:
        image, image_from_crop, n = _shrunk(image.float() - fill, image_from_crop, n)
        fill = 0.0
    places = [
        _taps(image_from_crop[axis, axis], image_from_crop[axis, 2], size_wh[axis], n, image.shape[2 - axis])
        for axis in (0, 1)
    ]
    (columns, _), (rows, _) = places
    left, top = int(columns.min()), int(rows.min())
    image = image[:, top : int(rows.max()) + 1, left : int(columns.max()) + 1].float() - fill
    for dim, (index, weight), first in ((-2, places[1], top), (-1, places[0], left)):
        weight = weight[..., None] if dim == -2 else weight
        total = image.index_select(dim, index[0] - first) * weight[0]
        for one, weights in zip(index[1:] - first, weight[1:], strict=True):
            total.addcmul_(image.index_select(dim, one), weights)
        image = total
    return image


def _taps(scale: Tensor, shift: Tensor, count: int, n: int, length: int) -> tuple[Tensor, Tensor]:
    """Return which of `length` pixels each of `count` crop pixels averages, (T, count), and with which weights (T, count).

    Crop pixel x is at scale x + shift; each is the mean of n linear samples. What lies outside weighs nothing.
    """
    place = (scale * ((torch.arange(count * n) + 0.5) / n) + shift - 0.5).view(count, n)
    low = place.floor()
    part, first = place - low, low.amin(1, keepdim=True)
    weight = torch.zeros(count, n + 2)
    weight.scatter_add_(1, (low - first).long(), (1 - part) / n)
    weight.scatter_add_(1, (low - first).long() + 1, part / n)
    index = first.long() + torch.arange(n + 2)
    inside = (index >= 0) & (index < length)
    return index.clamp(0, length - 1).T.contiguous(), torch.where(inside, weight, 0.0).T.contiguous()
