"""A trained detector as the pipeline uses it: full images in, boxes in image pixels out."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from garment_keypoints.detector.config import DetectorConfig, upgrade_config
from garment_keypoints.detector.graph import LEVELS, OUTPUTS, GraphDetector
from garment_keypoints.detector.inputs import input_affines
from garment_keypoints.pipeline.contract import crops, geometry
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import file_hash
from garment_keypoints.pipeline.contract.records import Detections, ImageBatch
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.graphs import runtime_of
from garment_keypoints.pipeline.learning.training_ids import training_ids
from garment_keypoints.pipeline.learning.weights import fill, load_checkpoint, restored
from torch import Tensor, nn

STAGE = "detector"


class NetworkDetector(nn.Module):
    """A Detector (contract.protocols). `train_ids` are the images that it has seen (None: not asked), `name` where it
    came from.

    `fingerprint` is the hash of its file: of its weights and settings.
    """

    def __init__(
        self,
        network: nn.Module,
        config: DetectorConfig,
        name: str,
        train_ids: list[str] | None,
        fingerprint: str = "",
    ) -> None:
        super().__init__()
        self.fingerprint = fingerprint or name
        self.network, self.fallback_score, self.margin = network.eval(), config.fallback_score, config.margin
        self.name, self.train_ids = name, None if train_ids is None else frozenset(train_ids)

    def job(self) -> dict[str, Any]:
        return {"detector": self.fingerprint, "runtime": runtime_of(self.network)}

    @torch.no_grad()
    def detect(self, batch: ImageBatch) -> Detections:
        """Return everything found, flat, image by image and best first, in image pixels."""
        size, device = self.network.size, batch.images.device
        with torch.autocast(device.type, enabled=False):
            affine = input_affines(batch.sizes_wh, size)
            inputs = crops.cut(batch, affine, (size, size))
        found = self._found(inputs)
        with torch.autocast(device.type, enabled=False):
            boxes = geometry.transform_box(geometry.invert(affine)[found.image], found.boxes)
            return replace(found, boxes=geometry.clip_box(boxes, batch.sizes_wh[found.image]))

    def _found(self, inputs: Tensor) -> Detections:
        """Return everything found in inputs (B, 3, size, size), in input pixels."""
        found = self.network.detections(inputs)
        # Lengths are known without asking the device.
        counts = torch.tensor([len(one["scores"]) for one in found])
        image = torch.arange(len(found)).repeat_interleave(counts).to(inputs.device, non_blocking=True)
        boxes, score, category = (torch.cat([one[name] for one in found]) for name in ("boxes", "scores", "category"))
        return Detections(boxes.float(), image, category, score.float())


def _levels(content: dict[str, Any], path: Path) -> list[int]:
    levels = content.get(LEVELS)
    if not (isinstance(levels, list) and levels and all(type(one) is int and one > 0 for one in levels)):
        raise UserError(
            f"{path}: its header has {LEVELS} {levels!r}; expected the anchors of each level; export it again"
        )
    return levels


def load_detector(path: Path, schema: Schema, with_ids: bool = False) -> NetworkDetector:
    """Load a detector checkpoint; raises ValueError when it is of another stage or schema.

    `with_ids` reads what it was trained on as well, for boxes out of fold.
    """
    path = Path(path)
    content = load_checkpoint(path, STAGE, schema)
    config = restored(DetectorConfig, content, path, upgrade_config)
    if "graph" in content:
        network: nn.Module = GraphDetector(content["graph"], _levels(content, path), config.network.size)
        anchors = sum(network.levels)
        shapes = (anchors, len(schema.categories)), (anchors, 4)
        content["graph"].check(path, config.network.size, dict(zip(OUTPUTS, shapes, strict=True)))
    else:
        from garment_keypoints.detector.networks.build import (
            GarmentNetwork,  # here: torchvision takes seconds, and a graph does without
        )

        network = GarmentNetwork(config, len(schema.categories))
        fill(network, content["state_dict"], path)
    ids = training_ids(path, content) if with_ids else None
    return NetworkDetector(network, config, content["name"], ids, file_hash(path))
