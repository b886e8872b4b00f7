"""A trained keypoint network as the pipeline uses it: crops in, points in crop pixels out."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from garment_keypoints.keypoints.config import KeypointsConfig, upgrade_config
from garment_keypoints.keypoints.graph import GraphNetwork
from garment_keypoints.keypoints.networks.build import build_codec, build_network, upgrade_state
from garment_keypoints.pipeline.contract.files import file_hash
from garment_keypoints.pipeline.contract.protocols import Codec, Outputs
from garment_keypoints.pipeline.contract.records import Points
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.graphs import runtime_of
from garment_keypoints.pipeline.learning.weights import fill, load_checkpoint, restored
from torch import Tensor, nn

STAGE = "keypoints"


class NetworkLocator(nn.Module):
    """A Locator (contract.protocols) around a network and its codec, with the flip test if wanted.

    `source` is what it was trained to be shown: a garment's box, or the whole image; `without_fold` the fold that it has not
    seen (-1: it has seen all); `fingerprint` the hash of its file: of its weights and `settings`.
    """

    def __init__(
        self,
        network: nn.Module,
        codec: Codec,
        size_wh: tuple[int, int],
        padding: float,
        flip_index: Tensor,
        flip_test: bool,
        source: str = "box",
        without_fold: int = -1,
        fingerprint: str = "",
        settings: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.source, self.without_fold, self.fingerprint = source, without_fold, fingerprint
        self.settings = settings or {}
        self.network, self.codec = network, codec
        self.size_wh, self.padding, self.flip_test = size_wh, padding, flip_test
        self.register_buffer("flip_index", flip_index, persistent=False)

    def job(self) -> dict[str, Any]:
        return {
            "keypoints": self.fingerprint,
            "runtime": runtime_of(self.network),
            "size_wh": list(self.size_wh),
            "padding": self.padding,
            "flip_test": self.flip_test,
        }

    def locate(self, crops: Tensor, category: Tensor) -> Points:
        """Map crops (N, 3, h, w) of 0..255 and their category (N,) to points in crop pixels."""
        return self.decode(self.outputs(crops, category))

    def outputs(self, crops: Tensor, category: Tensor) -> Outputs:
        """Return what the network says of crops, averaged with their mirror images if wanted."""
        return outputs_of(self.network, self.codec, crops, category, self.flip_index if self.flip_test else None)

    def decode(self, outputs: Outputs) -> Points:
        """Return the points, in crop pixels, of what `outputs` gave."""
        return decoded(self.codec, outputs)


def locate(
    network: nn.Module, codec: Codec, crops: Tensor, category: Tensor, flip_index: Tensor | None = None
) -> Points:
    """Decode the last stage's outputs; given `flip_index`, averaged with those of the mirrored crops."""
    return decoded(codec, outputs_of(network, codec, crops, category, flip_index))


@torch.no_grad()
def outputs_of(
    network: nn.Module, codec: Codec, crops: Tensor, category: Tensor, flip_index: Tensor | None = None
) -> Outputs:
    """Return the last stage's outputs in float32; given `flip_index`, averaged with those of the mirrored crops."""
    outputs = _last(network(crops, category))
    if flip_index is not None:
        mirrored = codec.mirror(_last(network(crops.flip(-1), category)), flip_index)
        outputs = {name: (outputs[name] + value) / 2 for name, value in mirrored.items()}
    return outputs


@torch.no_grad()
def decoded(codec: Codec, outputs: Outputs) -> Points:
    """Decode in float32."""
    with torch.autocast(next(iter(outputs.values())).device.type, enabled=False):
        return codec.decode(outputs)


def _last(stages: list[Outputs]) -> Outputs:
    return {name: value.float() for name, value in stages[-1].items()}


def load_network(path: Path, schema: Schema) -> tuple[nn.Module, Codec, KeypointsConfig]:
    """Load a keypoint checkpoint: its network, codec and settings; raises UserError when it is of another stage or schema."""
    content = load_checkpoint(Path(path), STAGE, schema)
    config = restored(KeypointsConfig, content, path, upgrade_config)
    if "graph" in content:
        codec = build_codec(config)
        content["graph"].check(path, config.crop.size, _decoded_shapes(codec, schema))
        return GraphNetwork(content["graph"]).eval(), codec, config
    network, codec = build_network(config, schema)
    fill(network, upgrade_state(content["state_dict"]), path)
    return network.eval(), codec, config


def _decoded_shapes(codec: Codec, schema: Schema) -> dict[str, torch.Size]:
    """Return the shape of each output that the codec decodes, without the batch; a mirror image has those alone."""
    targets = codec.encode(torch.zeros(1, len(schema.keypoints), 2))
    return {name: one.shape[1:] for name, one in codec.mirror(targets, torch.tensor(schema.flip_index)).items()}


def load_locator(path: Path, schema: Schema, flip_test: bool = True) -> NetworkLocator:
    """Load a keypoint checkpoint to predict with; raises UserError as `load_network` does."""
    network, codec, config = load_network(path, schema)
    crop, flip_index = config.crop, torch.tensor(schema.flip_index)
    return NetworkLocator(
        network, codec, (crop.size, crop.size), crop.padding, flip_index, flip_test,
        crop.source, config.without_fold, file_hash(path), asdict(config),
    )  # fmt: skip
