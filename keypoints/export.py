"""Write a trained keypoint network as an ONNX graph."""

from pathlib import Path
from typing import Any

import torch
from garment_keypoints.keypoints.networks.build import KeypointNetwork
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.learning.graphs import write_graph
from torch import Tensor, nn


class _LastStage(nn.Module):
    def __init__(self, network: KeypointNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        category = torch.zeros(crops.shape[0], dtype=torch.long)
        return tuple(self.network(crops, category)[-1].values())


def export_keypoints(network: nn.Module, size: int, header: dict[str, Any], file: Path) -> None:
    """Write a trained keypoint network as a graph; raise UserError for five networks in one."""
    if not isinstance(network, KeypointNetwork):
        raise UserError(
            "a network for each category is several graphs; export one that is for all (per_category: false)"
        )
    with torch.no_grad():
        names = list(network(torch.zeros(1, 3, size, size), torch.zeros(1, dtype=torch.long))[-1])
    write_graph(_LastStage(network), size, names, header, file)
