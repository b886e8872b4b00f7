"""A trained keypoint network as the pipeline uses it: crops in, points in crop pixels out."""

from pathlib import Path

import torch
from torch import Tensor, nn

from keypoints.codecs.heatmap import HeatmapCodec
from keypoints.config import KeypointsConfig
from keypoints.networks.build import build_network
from pipeline.contract.schema import Schema
from pipeline.learning.weights import fill, load_checkpoint

STAGE = "keypoints"


class NetworkLocator(nn.Module):
    """A Locator (contract.records) around a network and its codec, with the flip test if wanted."""

    def __init__(
        self, network: nn.Module, codec: HeatmapCodec, padding: float, flip_index: Tensor, flip_test: bool
    ) -> None:
        super().__init__()
        self.network, self.codec = network, codec
        self.size_wh, self.padding, self.flip_test = codec.size_wh, padding, flip_test
        self.register_buffer("flip_index", flip_index, persistent=False)

    @torch.no_grad()
    def locate(self, crops: Tensor, category: Tensor) -> tuple[Tensor, Tensor]:
        """Map crops (N, 3, h, w) of 0..255 to points (N, K, 2) in crop pixels and scores (N, K)."""
        heatmaps = self.heatmaps(crops)
        with torch.autocast(crops.device.type, enabled=False):
            return self.codec.decode(heatmaps)

    def heatmaps(self, crops: Tensor) -> Tensor:
        """Return the maps (N, K, h, w) in float32; with the flip test, averaged with those of the mirrored crops.

        Cells are centred at (k + 0.5) * stride, so mirroring the map is all that aligns the two.
        """
        heatmaps = self.network(crops).float()
        if not self.flip_test:
            return heatmaps
        mirrored = self.network(crops.flip(-1)).float().flip(-1)
        return (heatmaps + mirrored[:, self.flip_index]) / 2


def load_locator(
    path: Path, schema: Schema, device: torch.device | str = "cpu", flip_test: bool | None = None
) -> NetworkLocator:
    """Load a keypoint checkpoint; raises ValueError when it is of another stage or schema."""
    content = load_checkpoint(Path(path), STAGE, schema)
    config = KeypointsConfig(**content["config"] | {"backbone_weights": "none"})
    network, codec = build_network(config, len(schema.keypoints))
    fill(network, content["state_dict"], path)
    flip_test = config.flip_test if flip_test is None else flip_test
    flip_index = torch.tensor(schema.flip_index)
    return NetworkLocator(network.eval(), codec, config.padding, flip_index, flip_test).to(device)
