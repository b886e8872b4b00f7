"""Build and load what the commands and the Python API use: the one module that imports both stages."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from detector.boxes import Found, predict_fold
from detector.config import DetectorConfig
from detector.data import DetectorData
from detector.evaluate import box_statistics, detector_report
from detector.inference import STAGE as DETECTOR
from detector.inference import NetworkDetector, load_detector
from detector.module import DetectorModule
from keypoints.config import KeypointsConfig
from pipeline.contract.checkpoints import save_checkpoint
from pipeline.contract.records import Annotation, Detection
from pipeline.contract.schema import Schema
from pipeline.training import fit, forget

__all__ = ["Found", "NetworkDetector", "box_statistics", "detector_report", "load_detector", "predict_fold"]


@dataclass
class Settings:
    """What a preset in configs/ holds."""

    detector: DetectorConfig = field(default_factory=DetectorConfig)
    keypoints: KeypointsConfig = field(default_factory=KeypointsConfig)
    folds: int = 2
    schema: str = "fashionai"


def train_detector(
    rows: Sequence[Annotation], schema: Schema, config: DetectorConfig, out: Path, fold: int | None
) -> None:
    """Train a detector on the rows and write it to `out`; `fold` is the one that was left out (None: none was).

    Goes on from an interrupted training of the same `out`.
    """
    torch.manual_seed(config.seed)
    data = DetectorData(rows, schema, config)
    module = DetectorModule(config, schema, data)
    run = out.with_suffix("")
    fit(module, data, config, run, name=f"detector {out.stem}")
    extra = {"name": out.stem, "fold": fold, "train_ids": [row.image_id for row in rows]}
    save_checkpoint(out, DETECTOR, schema, asdict(config), module.network.state_dict(), extra)
    forget(run)
