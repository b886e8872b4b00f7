"""Cascaded pyramid network (Chen et al. 2018, 1711.07319): every level predicts, and a second net refines them together."""

import torch
from garment_keypoints.keypoints.networks.layers import TopDown, conv, enlarged, predictor
from garment_keypoints.pipeline.contract.protocols import Outputs
from torch import Tensor, nn


class Bottleneck(nn.Module):
    """Residual block of 1 x 1, 3 x 3 and 1 x 1 convolutions (He et al. 2016, 1512.03385), half as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(1, width // 2)
        last = nn.Sequential(nn.Conv2d(inner, width, 1, bias=False), nn.BatchNorm2d(width))
        self.layers = nn.Sequential(conv(width, inner, 1), conv(inner, inner), last)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.relu(maps + self.layers(maps))


class CPNHead(TopDown):
    """Maps of strides 4 to 32 -> five stages of "maps" (B, K, h / 4, w / 4): one a level, deepest first, and the refined.

    With `loss.hard_keypoints` the refined stage alone is trained on the hardest points, as in the paper.
    """

    produces = "maps"
    strides = (4, 8, 16, 32)
    stride = 4

    def __init__(self, channels: list[int], num_keypoints: int, width: int, size: int) -> None:
        super().__init__(channels, width)
        self.predict = nn.ModuleList(
            nn.Sequential(conv(width, width), predictor(width, num_keypoints)) for _ in channels
        )
        # The deeper a level, the more blocks: it has the most context to add, on the fewest cells.
        self.refine = nn.ModuleList(nn.Sequential(*(Bottleneck(width) for _ in range(i))) for i in range(len(channels)))
        gather = conv(len(channels) * width, width, 1)
        self.refined = nn.Sequential(gather, Bottleneck(width), predictor(width, num_keypoints))

    def forward(self, features: list[Tensor], category: Tensor) -> list[Outputs]:
        return [{"maps": maps} for maps in self.stages(features)[0]]

    def stages(self, features: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Return the maps of every stage, and the features (B, width, h / 4, w / 4) that the refined ones were made from."""
        merged = self.merge(features)
        levels = [enlarged(predict(m), merged[0]) for m, predict in zip(merged, self.predict, strict=True)]
        gathered = torch.cat([enlarged(refine(m), merged[0]) for m, refine in zip(merged, self.refine, strict=True)], 1)
        gather, block, predict = self.refined
        refined = block(gather(gathered))
        return [*reversed(levels), predict(refined)], refined
