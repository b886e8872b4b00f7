"""The one warp: against cv2, against a float64 loop, and against where points go."""

import cv2
import numpy as np
import pytest
import torch
from garment_keypoints.pipeline.contract import geometry as g
from garment_keypoints.pipeline.contract import warp
from hypothesis import given, settings
from hypothesis import strategies as st


def smooth_picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).uniform(0, 255, (height // 8, width // 8, 3)).astype(np.float32)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255)


def as_batch(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None]


def blob(centre: np.ndarray, height: int, width: int, sigma: float) -> np.ndarray:
    """A Gaussian spot of continuous centre (x, y), on black."""
    y, x = np.mgrid[:height, :width] + 0.5
    spot = 200 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * sigma**2))
    return np.repeat(spot[..., None], 3, 2).astype(np.float32)


def centroid(crop: torch.Tensor) -> np.ndarray:
    values = crop[0].double().numpy()
    y, x = np.mgrid[: values.shape[0], : values.shape[1]] + 0.5
    return np.array([(x * values).sum(), (y * values).sum()]) / values.sum()


def test_equals_cv2_where_nothing_is_minified() -> None:
    picture = smooth_picture(160, 200)
    affine = g.crop_from_image(
        torch.tensor([[40.0, 30, 120, 110]]), (96, 96), angle_deg=torch.tensor([17.0]), flip=torch.tensor([True])
    )
    ours = warp.crop(as_batch(picture), affine, (96, 96), fill=0.0)[0].permute(1, 2, 0).numpy()
    # cv2 counts from pixel centres: conjugate by the half pixel.
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    whole = np.vstack([affine[0].double().numpy(), [0, 0, 1]])
    index = (np.linalg.inv(half) @ whole @ half)[:2]
    theirs = cv2.warpAffine(picture, index, (96, 96), flags=cv2.INTER_LINEAR)
    # cv2 rounds its sampling places to 1/32 pixel.
    assert np.abs(ours - theirs).max() < 2.5
    assert np.abs(ours - theirs).mean() < 0.3


def float64_crop(picture: np.ndarray, affine: np.ndarray, size: int, samples: int, fill: float) -> np.ndarray:
    """Average samples x samples bilinear samples a pixel, one by one."""
    inverse = np.linalg.inv(np.vstack([affine, [0, 0, 1]]))
    height, width = picture.shape
    out = np.zeros((size, size))

    def pixel(row: int, col: int) -> float:
        return picture[row, col] - fill if 0 <= row < height and 0 <= col < width else 0.0

    for i in range(size * samples):
        for j in range(size * samples):
            x, y, _ = inverse @ [(j + 0.5) / samples, (i + 0.5) / samples, 1]
            u, v = x - 0.5, y - 0.5
            c, r = int(np.floor(u)), int(np.floor(v))
            a, b = u - c, v - r
            value = (1 - a) * (1 - b) * pixel(r, c) + a * (1 - b) * pixel(r, c + 1)
            value += (1 - a) * b * pixel(r + 1, c) + a * b * pixel(r + 1, c + 1)
            out[i // samples, j // samples] += value / samples**2
    return out + fill


@pytest.mark.parametrize(
    ("box", "angle", "samples"),
    [
        ([10, 8, 22, 20], 0.0, 1),  # enlarged
        ([2, 4, 46, 44], 25.0, 3),  # minified 2.75 times
        ([-12, 20, 40, 60], -10.0, 4),  # minified, beyond the picture
        ([-20, -24, 76, 72], 15.0, 6),  # minified 6 times, and still sampled pixel by pixel
    ],
)
def test_equals_a_float64_loop(box: list[float], angle: float, samples: int) -> None:
    picture = smooth_picture(48, 56)
    affine = g.crop_from_image(torch.tensor([box], dtype=torch.float64), (16, 16), angle_deg=torch.tensor([angle]))
    ours = warp.crop(as_batch(picture), affine, (16, 16), fill=127.0)[0, 0].numpy()
    expected = float64_crop(picture[..., 0].astype(np.float64), affine[0].numpy(), 16, samples, 127.0)
    assert np.abs(ours - expected).max() < 0.02


@pytest.mark.parametrize("magnification", [0.3, 0.5, 0.77, 1.0, 1.9, 4.0])
@pytest.mark.parametrize("flip", [False, True])
def test_a_blob_lands_where_its_centre_is_sent(magnification: float, flip: bool) -> None:
    height, width, size = 300, 340, 96
    centre = np.array([151.3, 142.8])
    side = size / magnification
    box = torch.tensor(
        [[centre[0] - side / 2 + 3, centre[1] - side / 2 - 2, centre[0] + side / 2 + 3, centre[1] + side / 2 - 2]]
    )
    affine = g.crop_from_image(
        box.double(),
        (size, size),
        angle_deg=torch.tensor([20.0]),
        shift=torch.tensor([[0.02, -0.03]]),
        flip=torch.tensor([flip]),
    )
    sigma = max(2.5, 4 / magnification) if magnification < 1 else 3.0
    crop = warp.crop(as_batch(blob(centre, height, width, sigma)), affine, (size, size), fill=0.0)[0]
    expected = g.apply(affine, torch.from_numpy(centre)[None, None])[0, 0].numpy()
    assert np.abs(centroid(crop) - expected).max() < 0.05


def test_mirrored_crop_is_the_mirror_image() -> None:
    picture = as_batch(smooth_picture(80, 90))
    box = torch.tensor([[10.0, 12, 70, 60]])
    plain = warp.crop(picture, g.crop_from_image(box, (64, 64)), (64, 64))
    flipped = warp.crop(picture, g.crop_from_image(box, (64, 64), flip=torch.tensor([True])), (64, 64))
    torch.testing.assert_close(flipped, plain.flip(-1), rtol=0, atol=1e-3)


def test_identity_gives_the_picture_back() -> None:
    picture = as_batch(smooth_picture(40, 56))
    same = warp.crop(picture, torch.tensor([[[1.0, 0, 0], [0, 1, 0]]]), (56, 40))
    assert (same - picture).abs().max() < 0.01


def test_does_not_depend_on_padding_nor_on_batch_mates() -> None:
    small, large = as_batch(smooth_picture(48, 40)), as_batch(smooth_picture(96, 120, seed=1))
    padded = torch.full((2, 3, 96, 120), 255.0)
    padded[0, :, :48, :40], padded[1] = small[0], large[0]
    boxes = torch.tensor([[-5.0, 3, 44, 60], [0, 0, 118, 90]])
    affine = g.crop_from_image(boxes, (32, 32))
    together = warp.crop(padded, affine, (32, 32), sizes_wh=torch.tensor([[40, 48], [120, 96]]))
    torch.testing.assert_close(together[:1], warp.crop(small, affine[:1], (32, 32)), rtol=0, atol=1e-3)
    torch.testing.assert_close(together[1:], warp.crop(large, affine[1:], (32, 32)), rtol=0, atol=1e-3)


def test_several_crops_of_one_image_and_fill_outside() -> None:
    pictures = torch.stack([torch.zeros(3, 20, 20), torch.full((3, 20, 20), 200.0)])
    affine = g.crop_from_image(torch.tensor([[5.0, 5, 15, 15], [2, 2, 12, 12], [100, 100, 120, 120]]), (8, 8))
    crops = warp.crop(pictures, affine, (8, 8), source=torch.tensor([1, 0, 1]), fill=127.0)
    assert [round(float(c.mean()), 3) for c in crops] == [200, 0, 127]


def test_large_photos_are_cut_in_turn_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = torch.rand(3, 3, 60, 60) * 255
    affine = g.crop_from_image(torch.tensor([[0.0, 0, 60, 60]] * 3), (24, 24))
    whole = warp.crop(pictures, affine, (24, 24))
    monkeypatch.setattr(warp, "MAX_FLOATS", 1)
    torch.testing.assert_close(warp.crop(pictures, affine, (24, 24)), whole, rtol=0, atol=0)


def test_no_crops_of_no_images() -> None:
    none = warp.crop(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), torch.zeros(0, 2, 3), (4, 6))
    assert (none.shape, none.dtype) == ((0, 3, 6, 4), torch.float32)


def test_bytes_are_cut_like_floats() -> None:
    picture = as_batch(smooth_picture(40, 40)).round()
    affine = g.crop_from_image(torch.tensor([[3.0, 4, 33, 30]]), (20, 20), angle_deg=torch.tensor([9.0]))
    torch.testing.assert_close(
        warp.crop(picture.byte(), affine, (20, 20)), warp.crop(picture, affine, (20, 20)), rtol=0, atol=0
    )


def test_a_large_photo_does_not_alias() -> None:
    """Each crop pixel shows 21 x 21 pixels of noise: their mean varies 21 times less than they do."""
    noise = np.random.default_rng(0).integers(0, 256, (2016, 2016, 1)).repeat(3, 2).astype(np.float64)
    box = torch.tensor([[0.0, 0, 2016, 2016]])
    crop = warp.crop(as_batch(noise), g.crop_from_image(box, (96, 96)), (96, 96))[0, 0]
    means = noise[..., 0].reshape(96, 21, 96, 21).mean((1, 3))
    assert float(crop.std()) < 1.15 * means.std()
    assert np.corrcoef(crop[2:-2, 2:-2].flatten(), means[2:-2, 2:-2].flatten())[0, 1] > 0.9


@pytest.mark.parametrize("size_wh", [(2016, 1512), (1999, 1201)])
def test_a_blob_of_a_large_photo_lands_where_its_centre_is_sent(size_wh: tuple[int, int]) -> None:
    centre = np.array([1203.7, 611.2])
    affine = g.crop_from_image(torch.tensor([[0.0, 0, *size_wh]]), (96, 96))
    crop = warp.crop(as_batch(blob(centre, size_wh[1], size_wh[0], 60.0)), affine, (96, 96), fill=0.0)[0]
    expected = g.apply(affine, torch.tensor(centre, dtype=torch.float32).view(1, 1, 2))[0, 0].numpy()
    np.testing.assert_allclose(centroid(crop), expected, atol=0.05)


def test_what_lies_outside_is_grey_unless_told_otherwise() -> None:
    affine = g.crop_from_image(torch.tensor([[-40.0, 0, -20, 20]]), (8, 8))
    assert warp.crop(torch.zeros(1, 3, 20, 20), affine, (8, 8)).unique().tolist() == [127]


def shrunk(picture: np.ndarray, r: int) -> np.ndarray:
    """The means of r x r pixels, without what does not fill one."""
    height, width = picture.shape[0] // r, picture.shape[1] // r
    return picture[: height * r, : width * r].reshape(height, r, width, r, -1).mean((1, 3)).astype(np.float32)


TURNED = {"angle_deg": torch.tensor([15.0]), "flip": torch.tensor([True])}


@pytest.mark.parametrize("reduced", [2, 4])
@pytest.mark.parametrize("side", [96, 352])  # as large as 96 pixels of the picture, and as 352, which is minified
def test_a_crop_of_a_reduced_picture_is_that_of_the_whole(reduced: int, side: int) -> None:
    small = np.random.default_rng(2).uniform(0, 255, (9, 11, 3)).astype(np.float32)
    picture = cv2.resize(small, (443, 361), interpolation=cv2.INTER_CUBIC).clip(0, 255)
    affine = g.crop_from_image(torch.tensor([[30.0, 5, 30 + side, 5 + side]]), (88, 88), **TURNED)
    whole = warp.crop(as_batch(picture), affine, (88, 88))
    ours = warp.crop(
        as_batch(shrunk(picture, reduced)),
        affine,
        (88, 88),
        sizes_wh=torch.tensor([[443, 361]]),
        reduced=torch.tensor([reduced]),
    )
    inside = (whole - 127).abs() > 1
    assert inside.float().mean() > 0.8
    # The last pixels, which fill no reduced one, and the picture's blurred border, are a few of the crop.
    differing = (ours - whole).abs()
    assert differing.mean() < 1.5
    assert differing[..., 20:-20, 20:-20].max() < 6


@pytest.mark.parametrize("reduced", [2, 4, 8])
@pytest.mark.parametrize("side", [150, 600])
def test_a_blob_of_a_reduced_picture_lands_where_its_centre_is_sent(reduced: int, side: int) -> None:
    width, height, centre = 1211, 803, np.array([503.7, 311.2])
    x, y = centre - side / 2 + [7, -4]
    affine = g.crop_from_image(torch.tensor([[x, y, x + side, y + side]]), (96, 96), **TURNED)
    crop = warp.crop(
        as_batch(shrunk(blob(centre, height, width, side / 12), reduced)),
        affine.float(),
        (96, 96),
        sizes_wh=torch.tensor([[width, height]]),
        fill=0.0,
        reduced=torch.tensor([reduced]),
    )
    expected = g.apply(affine.float(), torch.tensor(centre, dtype=torch.float32).view(1, 1, 2))[0, 0].numpy()
    np.testing.assert_allclose(centroid(crop[0]), expected, atol=0.05)


def test_reduced_and_whole_pictures_share_a_batch() -> None:
    """As many samples a crop pixel are taken of both: the groups do not keep them apart, the pictures' own factors do."""
    whole, large = smooth_picture(90, 100), smooth_picture(387, 410, seed=1)
    padded = torch.full((3, 3, 96, 102), 255.0)
    padded[0, :, :90, :100], padded[2, :, :90, :100] = as_batch(whole)[0], as_batch(whole)[0]
    padded[1] = as_batch(shrunk(large, 4))[0]
    sizes_wh, reduced = torch.tensor([[100, 90], [410, 387], [100, 90]]), torch.tensor([1, 4, 1])
    affine = g.crop_from_image(torch.tensor([[-5.0, 3, 85, 93], [-20, 12, 340, 372], [10, 10, 30, 30]]), (32, 32))
    together = warp.crop(padded, affine, (32, 32), sizes_wh, reduced=reduced)
    swapped = warp.crop(padded, affine[[2, 1, 0]], (32, 32), sizes_wh, source=torch.tensor([2, 1, 0]), reduced=reduced)
    torch.testing.assert_close(swapped, together[[2, 1, 0]], rtol=0, atol=1e-3)
    for i, picture in enumerate((whole, shrunk(large, 4), whole)):
        alone = warp.crop(
            as_batch(picture), affine[i : i + 1], (32, 32), sizes_wh[i : i + 1], reduced=reduced[i : i + 1]
        )
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-3)


ROUNDING = 0.02
"""Of 255, where noise differs by up to 255 from pixel to pixel: places in float32 are off by less than 1e-4 of a pixel."""


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100_000))
def test_both_ways_of_sampling_give_one_result(seed: int) -> None:
    """Rows and columns on a CPU, against places, which a crop takes that is turned by next to nothing.

    Noise, which shows a wrong place most, in crops that reach beyond their picture, enlarged and minified, mirrored or not, of
    padded and of reduced pictures.
    """
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.integers(0, 256, (2, 3, *rng.integers(3, 90, 2)), dtype=np.uint8))
    height, width = images.shape[-2:]
    sizes_wh = torch.tensor([[width, height], [int(rng.integers(1, width + 1)), int(rng.integers(1, height + 1))]])
    low = rng.uniform(-40, 80, (3, 2))
    boxes = torch.from_numpy(np.concatenate([low, low + rng.uniform(0.5, 200, (3, 2))], 1)).float()
    reduced = torch.tensor([1, int(rng.integers(1, 4))])
    flip, source, size_wh = torch.from_numpy(rng.random(3) < 0.5), torch.tensor([0, 1, 1]), (32, 24)
    affine = g.crop_from_image(boxes, size_wh, flip=flip)
    turned = affine.clone()
    turned[:, 0, 1] = 1e-20
    quick, general = (
        warp.crop(images, one, size_wh, sizes_wh * reduced[:, None], source, reduced=reduced)
        for one in (affine, turned)
    )
    torch.testing.assert_close(quick, general, rtol=0, atol=ROUNDING)
