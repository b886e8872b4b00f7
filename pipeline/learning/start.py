"""Trainings that start from a trained network instead of the first weights of its backbone: fine-tuning."""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.learning.graphs import SUFFIX
from garment_keypoints.pipeline.learning.manifests import MANIFEST, check_published
from garment_keypoints.pipeline.learning.pairs import find_pair, packaged
from garment_keypoints.pipeline.learning.training_ids import ids_file, known_ids
from garment_keypoints.pipeline.learning.weights import read_trained
from torch import Tensor, nn

log = logging.getLogger("garment_keypoints")


@dataclass(frozen=True)
class Start:
    """A trained network to start from: its file, backbone and tensors, and the images that it has seen (None: not known)."""

    file: Path
    backbone: str
    state_dict: dict[str, Tensor]
    seen: frozenset[str] | None


def load_start(name: str, stage: str) -> Start:
    """Read the network that `--start` names: a checkpoint of the stage, a packaged pair, or the folder of a pair.

    Its schema may be another one. Raises UserError for what is no such network.
    """
    file = Path(name)
    if name in packaged() or (file / MANIFEST).is_file():
        file = getattr(find_pair(name), stage)
    elif not file.is_file():
        raise UserError(
            f"--start is {name!r}; expected a checkpoint of the {stage} stage, {' or '.join(packaged())}, or a folder that "
            "`publish` wrote"
        )
    check_published(file)
    if file.suffix == SUFFIX:
        raise UserError(
            f"--start is {name!r}, an ONNX graph, which cannot be trained; name the checkpoint that it is of"
        )
    content = read_trained(file, stage)
    ids = known_ids(file, content)
    network = content["config"].get("network")
    backbone = network.get("backbone") if isinstance(network, dict) else content["config"].get("backbone")
    return Start(file, str(backbone), content["state_dict"], None if ids is None else frozenset(ids))


def refuse_seen(start: Start, held_out: Collection[str], what: str) -> None:
    """Raise UserError unless the network is known to have seen none of the images `held_out`, which are `what`."""
    if not held_out:
        return
    if start.seen is None:
        raise UserError(
            f"{ids_file(start.file)}: missing, the list of the images that {start.file.name} was trained on; it must have seen "
            f"none of {what}. Copy the list together with {start.file.name}, or start from another network"
        )
    both = sorted(start.seen.intersection(held_out))
    if both:
        raise UserError(
            f"{start.file} has seen {len(both)} of the {len(held_out)} images of {what}, first {both[0]}; start from a network "
            "that has seen none, or rename the images if they are others of the same names"
        )


def fill_from(network: nn.Module, start: Start, setting: str) -> None:
    """Take over every tensor that has the name and shape of one of the network's; what is left keeps its first weights.

    `setting` names the one of the backbone, which must fit as a whole: raises UserError otherwise.
    """
    expected = network.state_dict()
    taken = {
        key: start.state_dict[key].to(value.dtype)
        for key, value in expected.items()
        if key in start.state_dict and start.state_dict[key].shape == value.shape
    }
    features = {id(tensor) for tensor in network.backbone.state_dict(keep_vars=True).values()}
    names = [key for key, tensor in network.state_dict(keep_vars=True).items() if id(tensor) in features]
    lacking = [key for key in names if key not in taken]
    if lacking:
        raise UserError(
            f"{start.file}: its backbone is {start.backbone}, and {len(lacking)} of the {len(names)} tensors of this one are not "
            f"in it, first {lacking[0]}; set {setting} to the same backbone, or start from another network"
        )
    network.load_state_dict(taken, strict=False)
    new = [key for key in expected if key not in taken]
    log.info(
        "starting from %s: %d of %d tensors%s",
        start.file,
        len(taken),
        len(expected),
        f"; {', '.join(new[:4])}{' ...' if len(new) > 4 else ''} begin anew" if new else "",
    )
