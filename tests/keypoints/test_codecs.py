"""Encode and decode are exact inverses, and mirror with the crop."""

import pytest
import torch
from garment_keypoints.keypoints.codecs.build import CODECS
from garment_keypoints.keypoints.codecs.heatmap import HeatmapCodec
from garment_keypoints.keypoints.codecs.softmax import SoftmaxCodec
from garment_keypoints.pipeline.contract.protocols import Outputs

MAPS = ("heatmap", "sigmoid", "softmax")


def logits(codec: str, targets: Outputs) -> Outputs:
    """What a perfect network would answer."""
    if codec == "heatmap":
        return {"maps": targets["maps"]}
    if codec == "sigmoid":
        return {"maps": torch.logit(targets["maps"].double(), eps=1e-12).float()}
    return {"maps": targets["maps"].clamp(min=1e-30).log() + 3.0}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("stride", [4, 8])
def test_round_trip_at_every_phase(name: str, stride: int) -> None:
    codec = CODECS[name]((160, 128), stride, sigma=1.5)
    phases = torch.arange(0, stride * 4) / 4
    x = 2 * stride + torch.cat([phases, 160 - 4 * stride - phases])
    y = 2 * stride + torch.cat([phases, 128 - 4 * stride - phases])
    xy = torch.cartesian_prod(x, y)[None]
    points = codec.decode(logits(name, codec.encode(xy)))
    decoded, score = points.xy, points.score
    assert (decoded - xy).abs().max() < 1e-2
    # On a coarse grid the highest cell may miss the peak by half a cell on each axis.
    assert score.min() > 0.85
    assert score.max() <= 1


@pytest.mark.parametrize("name", MAPS)
def test_mirroring_the_crop_mirrors_the_maps(name: str) -> None:
    codec = CODECS[name]((64, 64), 4, sigma=2.0)
    xy = torch.rand(2, 5, 2) * 64
    mirrored = xy * torch.tensor([-1.0, 1]) + torch.tensor([64.0, 0])
    torch.testing.assert_close(codec.encode(mirrored)["maps"], codec.encode(xy)["maps"].flip(-1), rtol=1e-4, atol=1e-6)
    maps = torch.rand(2, 5, 16, 16)
    there, back = codec.decode({"maps": maps}).xy, codec.decode({"maps": maps.flip(-1)}).xy
    torch.testing.assert_close(back[..., 0], 64 - there[..., 0], rtol=0, atol=1e-3)
    torch.testing.assert_close(back[..., 1], there[..., 1], rtol=0, atol=1e-3)


def test_a_spread_distribution_decodes_to_the_least_expected_distance() -> None:
    codec = SoftmaxCodec((64, 64), 4, sigma=0.1)  # so narrow that no peak stands in for the median
    maps = 1.5 * torch.randn(3, 4, 16, 16)
    decoded = codec.decode({"maps": maps}).xy.double()
    p = torch.softmax(maps.double().flatten(2), -1)
    cells = torch.cartesian_prod(*[(torch.arange(16, dtype=torch.float64) + 0.5) * 4] * 2).flip(-1)
    expected = (p * (decoded[..., None, :] - cells).norm(dim=-1)).sum(-1)
    anywhere = torch.einsum("nkj,ij->nki", p, torch.cdist(cells, cells))
    assert (expected <= anywhere.amin(-1) + 0.05).all()


def test_most_of_the_mass_wins() -> None:
    # A third of the mass far away pulls the mean by 16 pixels, the median by nothing.
    codec = SoftmaxCodec((96, 64), 4, sigma=1.5)
    two = codec.encode(torch.tensor([[[20.0, 30.0], [68.0, 30.0]]]))["maps"]
    mixed = (two[:, :1] * 2 / 3 + two[:, 1:] / 3).clamp(min=1e-30).log()
    torch.testing.assert_close(codec.decode({"maps": mixed}).xy, torch.tensor([[[20.0, 30.0]]]), rtol=0, atol=1e-2)


def test_a_blob_by_hand() -> None:
    # Cell (2, 1) of stride 4 is centred at (10, 6); one cell away the height is exp(-1 / 2) for sigma 1.
    codec = HeatmapCodec((24, 16), 4, sigma=1.0)
    blob = codec.encode(torch.tensor([[[10.0, 6.0]]]))["maps"][0, 0]
    assert blob.shape == (4, 6)
    assert blob[1, 2] == 1
    assert float(blob[1, 3]) == pytest.approx(0.60653, abs=1e-5)
    assert float(blob[2, 3]) == pytest.approx(0.36788, abs=1e-5)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("maps", [torch.zeros(1, 1, 8, 8), -torch.rand(1, 1, 8, 8), torch.full((1, 1, 8, 8), 1e-30)])
def test_maps_without_a_peak_decode_to_something_finite_inside(name: str, maps: torch.Tensor) -> None:
    points = CODECS[name]((32, 32), 4, 1.5).decode({"maps": maps})
    xy, score = points.xy, points.score
    assert torch.isfinite(points.spread).all()
    assert torch.isfinite(xy).all()
    assert xy.min() >= -4
    assert xy.max() <= 36
    assert 0 <= float(score) <= 1


def test_points_far_outside_have_an_empty_target() -> None:
    for name in MAPS:
        assert CODECS[name]((32, 32), 4, 1.5).encode(torch.tensor([[[-300.0, 10]]]))["maps"].sum() == 0


@pytest.mark.parametrize("name", MAPS)
def test_the_spread_of_a_blob_is_that_of_its_gaussian(name: str) -> None:
    # Sigma 1.5 cells of 4 pixels on either axis: 6 * sqrt(2) pixels.
    codec = CODECS[name]((128, 128), 4, 1.5)
    points = codec.decode(logits(name, codec.encode(torch.tensor([[[61.0, 66.0]]]))))
    assert float(points.spread) == pytest.approx(6 * 2**0.5, abs=0.05)


def test_coordinates_are_exact_and_mirror() -> None:
    codec = CODECS["coordinates"]((128, 64))
    xy = torch.randint(0, 64, (2, 4, 2)).float()
    flip_index = torch.tensor([1, 0, 2, 3])
    assert torch.equal(codec.decode(codec.encode(xy)).xy, xy)
    mirrored = (xy * torch.tensor([-1.0, 1]) + torch.tensor([128.0, 0]))[:, flip_index]
    assert torch.equal(codec.decode(codec.mirror(codec.encode(mirrored), flip_index)).xy, xy)


def test_the_background_is_where_no_point_is() -> None:
    """By hand: a cell's height is the highest blob's, here 1 and exp(-1 / 2); a point that is nowhere is in no map."""
    xy = torch.tensor([[[10.0, 6.0], [-1e6, -1e6]]])
    target = HeatmapCodec((24, 16), 4, sigma=1.0).encode(xy)
    assert target["background"].shape == (1, 1, 4, 6)
    assert float(target["background"][0, 0, 1, 2]) == 0
    assert float(target["background"][0, 0, 1, 3]) == pytest.approx(1 - 0.60653, abs=1e-5)
    assert target["maps"][0, 1].sum() == 0
    assert float(SoftmaxCodec((24, 16), 4, sigma=1.0).encode(xy)["background"].sum()) == pytest.approx(1)


def test_the_mean_of_a_map_by_hand() -> None:
    # Cells of 16 pixels, centred at 8, 24, 40, 56; three quarters of the mass at (24, 8), a quarter at (56, 40).
    maps = torch.full((1, 1, 4, 4), -200.0)
    maps[0, 0, 0, 1], maps[0, 0, 2, 3] = torch.tensor(3.0).log(), 0.0
    codec = CODECS["integral"]((64, 64), 16, sigma=1.0)
    torch.testing.assert_close(codec.decode({"maps": maps}).xy, torch.tensor([[[32.0, 16.0]]]), rtol=0, atol=1e-3)
    assert codec.encode(torch.tensor([[[16.0, 48.0]]]))["xy"].tolist() == [[[0.25, 0.75]]]


def test_the_mean_of_a_blob_is_its_point() -> None:
    codec = CODECS["integral"]((160, 128), 4, sigma=1.5)
    xy = torch.tensor([[[40.3, 50.9], [77.7, 64.2]]])
    target = codec.encode(xy)
    torch.testing.assert_close(codec.decode(logits("softmax", target)).xy, xy, rtol=0, atol=1e-2)


def test_simcc_round_trip_at_every_phase() -> None:
    """Bins of half a pixel; exact wherever the point lies, as long as it is two bins from the border."""
    codec = CODECS["simcc"]((96, 64), 0.5, sigma=4.0)
    xy = torch.cartesian_prod(torch.linspace(1.1, 94.9, 41), torch.linspace(1.1, 62.9, 37))[None]
    target = codec.encode(xy)
    assert (target["x"].shape[-1], target["y"].shape[-1]) == (192, 128)
    torch.testing.assert_close(target["x"].sum(-1), torch.ones_like(target["x"][..., 0]))
    points = codec.decode({name: rows.clamp(min=1e-30).log() - 2 for name, rows in target.items()})
    assert (points.xy - xy).abs().max() < 1e-2
    middle = codec.decode({name: rows.log() for name, rows in codec.encode(torch.tensor([[[40.0, 30.0]]])).items()})
    assert float(middle.score) == pytest.approx(1, abs=0.01)
    # Sigma 4 bins of half a pixel on either axis: 2 * sqrt(2) pixels.
    assert float(middle.spread) == pytest.approx(2 * 2**0.5, abs=0.02)


def test_simcc_mirrors_with_the_crop() -> None:
    codec, flip_index = CODECS["simcc"]((64, 64), 0.5, sigma=4.0), torch.tensor([1, 0, 2])
    xy = torch.rand(2, 3, 2) * 40 + 12
    mirrored = (xy * torch.tensor([-1.0, 1]) + torch.tensor([64.0, 0]))[:, flip_index]
    back = codec.mirror(codec.encode(mirrored), flip_index)
    for name, rows in codec.encode(xy).items():
        torch.testing.assert_close(back[name], rows, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", MAPS)
def test_maps_are_looked_at_as_heights(name: str) -> None:
    """A perfect blob at a cell's centre has its peak at 1, and exp(-1 / 2 / 1.5**2) of it one cell away."""
    codec = CODECS[name]((128, 128), 4, 1.5)
    heights = codec.heights(logits(name, codec.encode(torch.tensor([[[62.0, 66.0]]]))))[0, 0]
    assert float(heights[16, 15]) == pytest.approx(1, abs=0.01)
    assert float(heights[16, 16]) == pytest.approx(0.8007, abs=0.01)
    assert 0 <= heights.min() <= heights.max() <= 1
