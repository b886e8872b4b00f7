"""Both networks: what goes in and comes out, gradients, the offset of labels, float32 boxes."""

import pytest
import torch
from garment_keypoints.detector.config import TYPES, DetectorConfig
from garment_keypoints.detector.losses import NO_GARMENT
from garment_keypoints.detector.networks.build import NETWORKS, GarmentNetwork
from garment_keypoints.detector.networks.dense import KEPT, select, suppressed, suppressed_at_once
from garment_keypoints.detector.networks.pyramid import Float32BoxCoder
from garment_keypoints.pipeline.contract.geometry import box_iou
from torchvision.models.detection._utils import BoxCoder

from tests.configs import detector_config

CONFIGS = [
    detector_config(type=t, size=96, backbone_weights="none", fpn_channels=16, partial_labels=p)
    for t in TYPES
    for p in (True, False)
]
IDS = [f"{c.network.type}-{'partial' if c.partial_labels else 'naive'}" for c in CONFIGS]


def test_every_type_has_a_network() -> None:
    assert tuple(NETWORKS) == TYPES


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    boxes = torch.tensor([[10.0, 12, 80, 90], [30, 5, 70, 60]])
    return torch.rand(2, 3, 96, 96) * 255, boxes, torch.tensor([4, 0])


@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
def test_gradients_reach_every_parameter(config: DetectorConfig) -> None:
    network = GarmentNetwork(config, 5).train()
    losses = network.losses(*batch())
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    without = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not without


@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
def test_a_picture_without_garments_teaches_that_there_is_none(config: DetectorConfig) -> None:
    """Beside one that holds a garment; steps on it alone lower every score in it."""
    network = GarmentNetwork(config, 5).train()
    inputs, boxes, category = batch()
    category[1] = NO_GARMENT
    losses = network.losses(inputs, boxes, category)
    assert all(torch.isfinite(loss) for loss in losses.values())
    optimizer = torch.optim.SGD(network.parameters(), 0.02)

    def highest() -> list[float]:
        with torch.no_grad():
            return [float(network.finest(inputs[1:]).max())]

    before = highest()
    for _ in range(3):
        optimizer.zero_grad()
        losses = network.losses(inputs[1:], boxes[1:], category[1:])
        assert all(loss == 0 for name, loss in losses.items() if "reg" in name)
        sum(losses.values()).backward()
        optimizer.step()
    assert highest() < before


@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
def test_detections_are_categories_from_zero_inside_the_input(config: DetectorConfig) -> None:
    network = GarmentNetwork(config, 5).eval()
    with torch.no_grad():
        found = network.detections(batch()[0])
    assert len(found) == 2
    for one in found:
        assert one["boxes"].shape == (len(one["scores"]), 4)
        assert one["boxes"].min() >= 0
        assert one["boxes"].max() <= 96
        assert (one["scores"].diff() <= 0).all()
        assert set(one["category"].tolist()) <= set(range(5))


@pytest.mark.parametrize("finest_stride", [8, 16])
def test_detections_are_those_of_torchvision(finest_stride: int) -> None:
    """Ours take a batch at once. Many boxes that overlap, and more than are kept."""
    network = GarmentNetwork(detector_config(size=96, backbone_weights="none", finest_stride=finest_stride), 5).eval()
    torch.nn.init.normal_(network.model.head.classification_head.cls_logits.weight, std=0.1)  # no two scores alike
    torch.nn.init.constant_(network.model.head.classification_head.cls_logits.bias, -3)
    inputs = torch.rand(3, 3, 96, 96) * torch.tensor([255.0, 100, 10])[:, None, None, None]
    with torch.no_grad():
        ours, theirs = network.detections(inputs), network.model(list(inputs))
    assert max(len(one["scores"]) for one in theirs) == KEPT
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a["scores"], b["scores"], rtol=0, atol=0)
        torch.testing.assert_close(a["boxes"], b["boxes"], rtol=0, atol=0)
        assert a["category"].tolist() == b["labels"].tolist()


def test_an_image_without_detections_among_others() -> None:
    logits, boxes = torch.full((3, 4, 2), -9.0), torch.tensor([0.0, 0, 9, 9]).expand(3, 4, 4)
    logits[2, 1, 1] = 1.0
    found = select(logits, boxes, [3, 1], 64)
    assert [len(one["scores"]) for one in found] == [0, 0, 1]
    assert found[2]["category"].tolist() == [1]


@pytest.mark.parametrize(("kind", "channels"), [("retinanet", 9 * 5), ("faster_rcnn", 9)])
def test_the_finest_map_has_the_logits_of_nine_anchors_a_cell(kind: str, channels: int) -> None:
    for stride in (8, 16):
        config = detector_config(type=kind, size=96, backbone_weights="none", fpn_channels=16, finest_stride=stride)
        network = GarmentNetwork(config, 5).eval()
        with torch.no_grad():
            assert network.finest(batch()[0]).shape == (2, channels, 96 // stride, 96 // stride)


@pytest.mark.parametrize("kind", TYPES)
def test_learns_one_box_and_its_category(kind: str) -> None:
    """The last category, where an offset by one would fail, is learned where the box is."""
    config = detector_config(type=kind, size=96, fpn_channels=16, backbone_weights="package")
    network = GarmentNetwork(config, 5)
    picture = torch.full((1, 3, 96, 96), 230.0)
    picture[:, :, 20:80, 15:75] = torch.tensor([200.0, 30, 60])[None, :, None, None]
    box, category = torch.tensor([[15.0, 20, 75, 80]]), torch.tensor([4])
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()  # one picture has no statistics
    for _ in range(40):
        optimizer.zero_grad()
        sum(network.losses(picture, box, category).values()).backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        found = network.detections(picture)[0]
    # Of the other categories the partial labels say nothing outside the box.
    own = (found["category"] == 4).nonzero()[0, 0]
    assert found["scores"][own] > 0.3
    assert box_iou(found["boxes"][own][None], box) > 0.75


def test_the_naive_switch_changes_the_loss() -> None:
    partial, naive = (GarmentNetwork(config, 5).train() for config in CONFIGS[:2])
    naive.load_state_dict(partial.state_dict())
    inputs = batch()
    partial_loss, naive_loss = (one.losses(*inputs)["classification"].item() for one in (partial, naive))
    assert partial_loss < naive_loss  # fewer negatives count


def test_boxes_are_decoded_in_float32() -> None:
    codes, anchors = torch.randn(500, 4) * 0.2, torch.tensor([[200.0, 150, 460, 500]]).expand(500, 4)
    exact = BoxCoder((1.0,) * 4).decode_single(codes.bfloat16().float(), anchors)
    ours = Float32BoxCoder((1.0,) * 4).decode_single(codes.bfloat16(), anchors)
    naive = BoxCoder((1.0,) * 4).decode_single(codes.bfloat16(), anchors)
    assert (ours - exact).abs().max() < 1e-3
    assert (naive.float() - exact).abs().max() > 0.5


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"type": "yolo"}, "'yolo'; expected one of retinanet, faster_rcnn"),
        ({"size": 100}, "size is 100; expected a multiple of 32"),
        ({"finest_stride": 4}, "finest_stride is 4"),
        ({"margin": -0.1}, "margin is -0.1; expected 0 to 1"),
    ],
)
def test_bad_settings_name_themselves(bad: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        detector_config(**bad)


def test_groups_apart_are_suppressed_as_each_alone() -> None:
    """What devices other than a CPU do, beside torchvision's loop over the groups: four images of five categories."""
    chance = torch.Generator().manual_seed(0)
    low = torch.rand(1500, 2, generator=chance) * 200
    box = torch.cat([low, low + 20 + torch.rand(1500, 2, generator=chance) * 68], 1)
    score, group = torch.rand(1500, generator=chance), torch.randint(0, 20, (1500,), generator=chance)
    alone = suppressed(box, score, group, 288)
    assert 300 < len(alone) < 1450
    assert torch.equal(suppressed_at_once(box, score, group, 288), alone)
