"""Pairs of weights that belong together: a folder with a detector, a keypoint network, and their SHA-256 in weights.json.

Those of this project lie in the folder `weights` beside the packages, in a checkout as in an installation.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import json_object, write_bytes, write_text
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.calibration import Calibration
from garment_keypoints.pipeline.learning.graphs import SUFFIX
from garment_keypoints.pipeline.learning.manifests import (
    FILES,
    FORMAT,
    MANIFEST,
    check_digest,
    check_published,
    digest_of,
    published_digests,
    published_refine,
)
from garment_keypoints.pipeline.learning.training_ids import ids_file, known_ids, write_ids
from garment_keypoints.pipeline.learning.weights import HEADER, read_checkpoint, write_checkpoint
from torch import Tensor

PACKAGED = Path(__file__).parents[2] / "weights"
DEFAULT = "cpu"
GRAPHS = {
    "onnx": {"detector": "detector.onnx", "keypoints": "keypoints.onnx"},
    "int8": {"detector": "detector.onnx", "keypoints": "keypoints.int8.onnx"},
}
"""The file of each stage, for torch, and those for ONNX Runtime, where the pair has been exported.

The detector stays in float32: in eight bits it costs as much NE as the keypoint network does, for a tenth of the time.
"""
EIGHT_BITS = ".int8"
CALIBRATION = "calibration.json"
"""What the scores of the keypoint network mean, where that has been found out (`calibrate`)."""
AS_PUBLISHED = -1
"""So many refinements as the pair was published with."""
Runtime = Literal["auto", "torch", "onnx", "int8"]


@dataclass(frozen=True)
class Pair:
    """The networks of both stages, what the pair is called, and what its scores mean."""

    name: str
    detector: Path
    keypoints: Path
    calibration: Path | None = None
    refine: int = 0
    """Where nobody says otherwise, so many times a garment is cropped again, around its points of the crops before."""

    @classmethod
    def of(
        cls, name: str, detector: Path | None, keypoints: Path | None, runtime: Runtime = "torch", device: str = "cpu"
    ) -> "Pair":
        """Return the two files where both are named, else the pair of this name with the one that is named in its place.

        Runtime onnx takes the pair's graphs, int8 those in eight bits; UserError is raised when it has none, and when both files
        are named and do not run in that. auto takes the graphs of onnx on the device cpu, if the pair has any.
        """
        if runtime not in get_args(Runtime):
            raise UserError(f"runtime is {runtime!r}; expected one of {', '.join(get_args(Runtime))}")
        for file in filter(None, (detector, keypoints)):
            check_published(file)
        if detector is not None and keypoints is not None:
            _check_runtime({"detector": detector, "keypoints": keypoints}, runtime)
            return cls("", detector, keypoints)
        wanted = ("onnx" if device == "cpu" else "torch") if runtime == "auto" else runtime
        pair = find_pair(name, wanted)
        if runtime in GRAPHS and pair.detector.suffix != SUFFIX:
            photos = " --int8 PHOTOS" if runtime == "int8" else ""
            raise UserError(
                f"--runtime is {runtime}, and --weights {name} has no such graphs; add them with `export --weights {name} --out "
                f"{pair.detector.parent}{photos}`, or take --runtime torch"
            )
        if keypoints:  # what the scores mean, and what refinements bring, is known of the pair's own network
            return cls(pair.name, detector or pair.detector, keypoints)
        return cls(pair.name, detector or pair.detector, pair.keypoints, pair.calibration, pair.refine)


@dataclass
class Weights:
    """Which networks predict."""

    weights: str = DEFAULT
    """Pair of networks: the name of a packaged one, or a folder that `publish` wrote."""
    detector: Path | None = None
    """Detector checkpoint, for the one of the pair."""
    keypoints: Path | None = None
    """Keypoint checkpoint, for the one of the pair."""
    runtime: Runtime = "auto"
    """What runs the networks of a pair: torch, onnx (faster on a CPU), int8 (faster still, slightly less exact), or auto: onnx on
    a CPU where the pair has graphs."""

    def pair(self, device: str) -> Pair:
        """Return the networks to predict with on `device`."""
        return Pair.of(self.weights, self.detector, self.keypoints, self.runtime, device)


def _check_runtime(files: dict[str, Path], runtime: str) -> None:
    """Raise UserError for checkpoints that do not run in the runtime of graphs that was asked for."""
    for stage, file in files.items() if runtime in GRAPHS else ():
        # In eight bits only the keypoint network is, which is then called as `export` calls it.
        in_floats = (runtime, stage) == ("int8", "keypoints") and EIGHT_BITS not in file.suffixes
        if file.suffix != SUFFIX or in_floats:
            raise UserError(
                f"--runtime is {runtime}, and --{stage} {file} does not run in that; leave --runtime out, or name what `export` "
                f"writes ({GRAPHS[runtime][stage]})"
            )


def packaged() -> list[str]:
    """Name the pairs that came with this project."""
    return sorted(file.parent.name for file in PACKAGED.glob(f"*/{MANIFEST}"))


def find_pair(name: str, runtime: str = "torch") -> Pair:
    """Return the packaged pair of this name, or the one in this folder, each file of it as it was published.

    For the runtimes onnx and int8 its graphs, if it has any. Raises UserError when there is none, and when a file of it is
    missing, damaged or another one.
    """
    folder = PACKAGED / name if name in packaged() else Path(name)
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise UserError(
            f"--weights is {name!r}; expected {' or '.join(packaged())}, or a folder that `publish` wrote, with {MANIFEST}"
        )
    digests = published_digests(manifest)
    graphs = GRAPHS.get(runtime, FILES)
    files = graphs if set(graphs.values()) <= digests.keys() else FILES
    for file in files.values():
        check_digest(folder / file, digests[file])
    calibration = folder / CALIBRATION if CALIBRATION in digests else None
    if calibration:
        check_digest(calibration, digests[CALIBRATION])
    elif (folder / CALIBRATION).exists():
        raise UserError(f"{folder / CALIBRATION}: no part of the pair beside it; publish it with them (--calibration)")
    places = (folder / file for file in files.values())
    return Pair(folder.resolve().name, *places, calibration, published_refine(manifest))


def add_graphs(folder: Path, files: Sequence[str]) -> None:
    """Make these graphs in the folder part of the pair in it."""
    manifest = json_object(folder / MANIFEST) or {}
    manifest["sha256"] |= {file: digest_of(folder / file) for file in files}
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")


def publish_pair(
    sources: dict[str, Path], folder: Path, about: dict[str, Any], float16: bool = True, calibration: Path | None = None
) -> None:
    """Copy a network of each stage, of any format, into a folder as a pair; by default with float16 weights, half the size.

    `calibration` says what the scores of the keypoint network mean. Graphs of an earlier pair in the folder go. `about` is
    kept beside the hashes; its `provenance` goes into the files too. A file that is as it should be already is copied as it
    is, and keeps its hash.
    """
    contents = {stage: read_checkpoint(source) for stage, source in sources.items()}
    for stage, content in contents.items():
        if content["stage"] != stage:
            raise UserError(f"--{stage} is {sources[stage]}, a checkpoint of the {content['stage']} stage")
    first, second = (Schema.from_dict(content["schema"]) for content in contents.values())
    if first != second:
        raise UserError(f"{' and '.join(map(str, sources.values()))} were trained for different schemas; expected one")
    if calibration:
        Calibration.load(calibration, first, contents["keypoints"]["config"])
    for stage, content in contents.items():
        out = folder / FILES[stage]
        ids = known_ids(sources[stage], content)
        ids_file(out).unlink(missing_ok=True)  # of the networks before
        _publish(sources[stage], content, out, about["provenance"], float16, ids)
    digests = {file: digest_of(folder / file) for file in FILES.values()}
    if calibration:
        write_bytes(folder / CALIBRATION, calibration.read_bytes())
        digests[CALIBRATION] = digest_of(folder / CALIBRATION)
    for graph in (file for files in GRAPHS.values() for file in files.values()):
        (folder / graph).unlink(missing_ok=True)  # of the networks before; `export` makes those of these
    manifest = {"format": FORMAT, "schema": first.name, "sha256": digests, **about}
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")


def _publish(
    source: Path, content: dict[str, Any], out: Path, provenance: dict[str, Any], float16: bool, ids: list[str] | None
) -> None:
    state = {key: _halved(value) if float16 else value for key, value in content["state_dict"].items()}
    unchanged = all(state[key].dtype == value.dtype for key, value in content["state_dict"].items())
    if unchanged and "exported" in content["provenance"]:
        write_bytes(out, source.read_bytes())
        if ids is not None:
            write_ids(out, ids)
        return
    header = {key: content[key] for key in HEADER}
    header["provenance"] = content["provenance"] | {"exported": provenance}
    write_checkpoint(out, header, state, ids)


def _halved(value: Tensor) -> Tensor:
    """Return a float32 tensor in float16, or as it is where one of its values is too large for that."""
    half = value.half() if value.dtype == torch.float32 else value
    return half if torch.equal(half.isfinite(), value.isfinite()) else value
