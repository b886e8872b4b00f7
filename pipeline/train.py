"""Train the network of either stage. With `load` the module that imports both."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from garment_keypoints.detector.config import DetectorConfig
from garment_keypoints.detector.data import DetectorData
from garment_keypoints.detector.inference import STAGE as DETECTOR
from garment_keypoints.detector.module import DetectorModule
from garment_keypoints.detector.networks.build import GarmentNetwork
from garment_keypoints.keypoints.config import KeypointsConfig
from garment_keypoints.keypoints.data import KeypointsData
from garment_keypoints.keypoints.inference import STAGE as KEYPOINTS
from garment_keypoints.keypoints.module import KeypointsModule
from garment_keypoints.keypoints.networks.build import build_network, upgrade_state
from garment_keypoints.pipeline.contract.boxes import BoxTable
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import file_hash
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.records import Annotation, BoxedImage
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning import ranks
from garment_keypoints.pipeline.learning.fit import RESUME, fit, forget
from garment_keypoints.pipeline.learning.placement import placed
from garment_keypoints.pipeline.learning.shares import barrier
from garment_keypoints.pipeline.learning.start import Start, fill_from, load_start
from garment_keypoints.pipeline.learning.weights import save_checkpoint
from garment_keypoints.pipeline.runs.provenance import provenance
from garment_keypoints.pipeline.runs.steps import START

Built = TypeVar("Built")
TRAINING_BOXES = "training_boxes"


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


def begun(start: str, stage: str, inputs: dict[str, str]) -> Start | None:
    """Return the network that `--start` names, and add its hash to the inputs; None where it names none."""
    if not start:
        return None
    found = load_start(start, stage)
    inputs[START] = file_hash(found.file)
    return found


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
    boxes: BoxTable,
    schema: Schema,
    config: KeypointsConfig,
    out: Path,
    pictures: PictureOptions | None = None,
    training: np.ndarray | None = None,
    start: Start | None = None,
    true: np.ndarray | None = None,
) -> None:
    """Train the keypoint network on the rows in their boxes and write it to `out`; starts and goes on as `train_detector` does.

    `boxes` are by row. With `training` (N, 4), it learns in those boxes, and is only watched in `boxes`. How well the boxes that
    it learned in lie on the `true` ones (N, 4; NaN where nobody knows) stands in the provenance, as TRAINING_BOXES.
    """
    torch.manual_seed(config.train.seed)
    data = KeypointsData(rows, boxes, schema, config, pictures, training, true)
    module = KeypointsModule(config, schema, data)
    if start is not None:
        current = replace(start, state_dict=upgrade_state(start.state_dict))
        fill_from(module.network, current, "keypoints.network.backbone")
    run = out.with_suffix("")
    fit(module, data, config.train, run, name=f"keypoints {out.stem}")
    ids, state = [row.image_id for row in data.rows[: data.num_train]], module.network.state_dict()
    if ranks.is_zero():
        made = provenance() | {TRAINING_BOXES: data.training_box_figures()}
        save_checkpoint(
            out, KEYPOINTS, schema, asdict(config), state,
            train_ids=ids, provenance=made, seen=start.seen if start else (),
        )  # fmt: skip
    _finish(run)


def _finish(run: Path) -> None:
    """Go on when every rank knows that the training is over, and its weights are written."""
    barrier()
    if ranks.is_zero():
        forget(run)
