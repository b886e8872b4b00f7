"""Build and load what the commands and the Python API use: with `crop_boxes` and `views` the modules that import both."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from detector.config import DetectorConfig
from detector.data import DetectorData, target_boxes, true_boxes, true_extents
from detector.evaluate import detector_report, unlabelled_report
from detector.inference import STAGE as DETECTOR
from detector.inference import NetworkDetector, load_detector
from detector.module import DetectorModule
from detector.networks.build import GarmentNetwork
from detector.out_of_fold import Found
from keypoints.collapse import CollapseError
from keypoints.config import KeypointsConfig
from keypoints.data import KeypointsData, TrainingBoxes, match_boxes
from keypoints.inference import STAGE as KEYPOINTS
from keypoints.inference import load_locator
from keypoints.module import KeypointsModule
from keypoints.networks.build import build_network, upgrade_state
from pipeline.contract.faults import UserError
from pipeline.contract.files import file_hash
from pipeline.contract.images import PictureOptions
from pipeline.contract.records import Annotation, BoxedImage, Detection
from pipeline.contract.schema import Schema
from pipeline.inference.box_sources import SourceParts, build_source
from pipeline.inference.find import Finder, Finding
from pipeline.inference.predict import Device
from pipeline.inference.second_pass import PASSES, in_passes
from pipeline.learning import configs, ranks
from pipeline.learning.calibration import Calibration
from pipeline.learning.fit import RESUME, fit, forget
from pipeline.learning.pairs import Pair
from pipeline.learning.placement import placed
from pipeline.learning.start import Start, fill_from
from pipeline.learning.synchronised import barrier
from pipeline.learning.weights import save_checkpoint
from pipeline.reporting.records import provenance

__all__ = [
    "PASSES",
    "CollapseError",
    "DetectorConfig",
    "Finder",
    "Finding",
    "Found",
    "KeypointsConfig",
    "NetworkDetector",
    "detector_report",
    "in_passes",
    "load_detector",
    "load_locator",
    "match_boxes",
    "target_boxes",
    "true_boxes",
    "true_extents",
    "unlabelled_report",
]

Built = TypeVar("Built")


@dataclass
class Settings:
    """What a preset in configs/ holds."""

    format: int = configs.FORMAT
    """Format of the settings; another one is refused."""
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    keypoints: KeypointsConfig = field(default_factory=KeypointsConfig)
    folds: int = 2
    """Detectors for boxes out of fold."""
    schema: str = "fashionai"
    """Packaged schema, or a YAML file of your own."""
    layout: str = "fashionai"
    """How the data lie on disk: a name of pipeline.contract.formats.registry."""
    pictures: PictureOptions = field(default_factory=PictureOptions)
    """What a picture may cost, and how large it is decoded."""

    def __post_init__(self) -> None:
        configs.check_format(self.format, "settings")


def check_detector(schema: Schema, config: DetectorConfig) -> None:
    """Raise UserError for settings that a training would refuse: a network that cannot be built, devices that are not there."""
    placed(config.train)
    built(lambda: GarmentNetwork(config, len(schema.categories)), "detector.network", config.network)


def check_keypoints(schema: Schema, config: KeypointsConfig) -> None:
    """Raise UserError for settings that a training would refuse, as `check_detector` does."""
    placed(config.train)
    built(lambda: build_network(config, schema), "keypoints.network", config.network)


def built(build: Callable[[], Built], name: str, settings: object) -> Built:
    """Return what `build` does; raise UserError, naming the settings, when they cannot be built."""
    try:
        return build()
    except UserError:
        raise
    except (ValueError, RuntimeError, ZeroDivisionError, AssertionError) as error:
        raise UserError(f"{name}: cannot be built with {settings} ({error}); correct its settings") from None


@ranks.one_voice()
def train_detector(
    rows: Sequence[Annotation],
    schema: Schema,
    config: DetectorConfig,
    out: Path,
    fold: int | None,
    pictures: PictureOptions | None = None,
    boxed: Sequence[BoxedImage] = (),
    start: Start | None = None,
) -> None:
    """Train a detector on the rows and write it to `out`; `fold` is the one that was left out (None: none was).

    `boxed` are further garments, without points; `start` is a trained detector to start from. Goes on from an interrupted
    training of the same `out`.
    """
    torch.manual_seed(config.train.seed)
    data = DetectorData(rows, schema, config, pictures, boxed)
    module = DetectorModule(config, schema, data)
    if start is not None:
        fill_from(module.network, start, "detector.network.backbone")
    run = out.with_suffix("")
    fit(module, data, config.train, run, name=f"detector {out.stem}")
    ids, state = [row.image_id for row in data.rows], module.network.state_dict()
    if ranks.is_zero():
        save_checkpoint(
            out, DETECTOR, schema, asdict(config), state,
            train_ids=ids, fold=fold, provenance=provenance(), seen=start.seen if start else (),
        )  # fmt: skip
    _finish(run)


def interrupted(out: Path) -> bool:
    """Tell whether an earlier training of `out` can be resumed."""
    return (out.with_suffix("") / RESUME).exists()


@ranks.one_voice()
def train_keypoints(
    rows: Sequence[Annotation],
    boxes: Sequence[Detection],
    schema: Schema,
    config: KeypointsConfig,
    out: Path,
    pictures: PictureOptions | None = None,
    training: TrainingBoxes | None = None,
    start: Start | None = None,
) -> None:
    """Train the keypoint network on the rows in their boxes and write it to `out`; starts and goes on as `train_detector` does.

    With `training`, it learns on those boxes, and is only watched in `boxes`.
    """
    torch.manual_seed(config.train.seed)
    data = KeypointsData(rows, boxes, schema, config, pictures, training)
    module = KeypointsModule(config, schema, data)
    if start is not None:
        current = replace(start, state_dict=upgrade_state(start.state_dict))
        fill_from(module.network, current, "keypoints.network.backbone")
    run = out.with_suffix("")
    fit(module, data, config.train, run, name=f"keypoints {out.stem}")
    ids, state = [row.image_id for row in data.rows[: data.num_train]], module.network.state_dict()
    if ranks.is_zero():
        save_checkpoint(
            out, KEYPOINTS, schema, asdict(config), state,
            train_ids=ids, provenance=provenance(), seen=start.seen if start else (),
        )  # fmt: skip
    _finish(run)


def _finish(run: Path) -> None:
    """Go on when every rank knows that the training is over, and its weights are written."""
    barrier()
    if ranks.is_zero():
        forget(run)


def detector_forward(schema: Schema, checkpoint: Path) -> tuple[nn.Module, Callable[[Tensor], object], int]:
    """Return a trained network, what runs it on inputs (B, 3, size, size) of 0..255, and that size, to be measured."""
    network = load_detector(checkpoint, schema).network
    return network, network.detections, network.size


def keypoints_forward(schema: Schema, config: KeypointsConfig) -> tuple[nn.Module, Callable[[Tensor], object], int]:
    """Return the network that a training starts from, what runs it on crops, and their size, as `detector_forward` does."""
    network, _ = build_network(config, schema)

    def forward(crops: Tensor) -> object:
        return network(crops, torch.zeros(len(crops), dtype=torch.int64, device=crops.device))

    return network, forward, config.crop.size


def load_finder(
    pair: Pair,
    schema: Schema,
    finding: Finding,
    device: Device | None = None,
    pictures: PictureOptions | None = None,
) -> Finder:
    """Load both networks to find every garment in photos of unknown content."""
    detector, locator = load_detector(pair.detector, schema), load_locator(pair.keypoints, schema, finding.flip_test)
    if locator.source != "box":
        raise UserError(
            f"{pair.keypoints}: trained on whole images; garments in photos need a network trained on boxes"
        )
    pictures, passes = pictures or PictureOptions(), finding.passes or pair.passes
    source = build_source("detections", SourceParts(detector, threshold=finding.threshold))
    source = in_passes(passes, source, locator, schema, detector.margin)
    job = {"detector": detector.fingerprint, "keypoints": file_hash(pair.keypoints), "schema": schema.fingerprint}
    job |= {"threshold": finding.threshold, "flip_test": finding.flip_test, "passes": passes, "detail": pictures.detail}
    meaning = None
    if pair.calibration is not None:
        meaning = Calibration.load(pair.calibration, schema)
        job["calibration"] = file_hash(pair.calibration)
    return Finder(source, locator, schema, job, device or Device(), pictures, meaning)
