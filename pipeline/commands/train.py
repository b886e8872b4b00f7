"""Verbs that train, and the boxes in between: what is there already is kept, what was interrupted goes on."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline import assemble
from pipeline.assemble import Settings
from pipeline.contract.formats.boxes import read_boxes, write_boxes
from pipeline.contract.records import Annotation
from pipeline.contract.schema import Schema, load_schema
from pipeline.data.select import TrainingSet, load_training_set
from pipeline.data.survey import image_sizes
from pipeline.reporting.records import claim, measured, provenance, write_json

log = logging.getLogger("pipeline")
FINAL = "final"


def train_detector(settings: Settings, data: Sequence[Path], run: Path, limit: int = 0, only: str = "") -> None:
    """Train one detector a fold and the final one on everything; those that are there already are kept."""
    schema = load_schema(settings.schema)
    training_set = load_training_set(data, schema, settings.folds, run, limit)
    folder = run / "detector"
    claim(folder, _claimed(settings, training_set, schema, asdict(settings.detector)))
    names = [*(f"fold{k}" for k in range(settings.folds)), FINAL]
    if only and only not in names:
        raise ValueError(f"--only is {only!r}; expected one of {', '.join(names)}")
    for name in [only] if only else names:
        out = folder / f"{name}.safetensors"
        if out.exists():
            log.info("%s is there already", out)
            out.touch()
            continue
        fold = None if name == FINAL else int(name.removeprefix("fold"))
        rows = [row for row, f in zip(training_set.rows, training_set.folds, strict=True) if f != fold]
        with recorded(out.with_suffix(".json"), settings, data, assemble.interrupted(out)):
            assemble.train_detector(rows, schema, settings.detector, out, fold)


def boxes(settings: Settings, data: Sequence[Path], run: Path, limit: int = 0) -> None:
    """Predict the box of every training row by the detector of its fold: `run`/boxes.csv, and how good they are."""
    schema = load_schema(settings.schema)
    training_set = load_training_set(data, schema, settings.folds, run, limit)
    rows, folds = training_set.rows, training_set.folds
    chosen: list[Any] = [None] * len(rows)
    found: list[Any] = [None] * len(rows)
    shards = run / "detector" / "boxes"
    with recorded(run / "boxes.json", settings, data, any(shards.glob("*.json"))) as record:
        for fold in range(settings.folds):
            detector = assemble.load_detector(
                run / "detector" / f"fold{fold}.safetensors", schema, device(), with_ids=True
            )
            members = np.flatnonzero(folds == fold)
            own, everything = assemble.predict_fold(
                [rows[i] for i in members],
                detector,
                fold,
                schema,
                shards / f"fold{fold}.json",
                device(),
                settings.detector.workers,
            )
            for i, box, one in zip(members, own, everything, strict=True):
                chosen[i], found[i] = box, one
        val = np.flatnonzero(folds == 0)
        record["figures"] = {
            "val": _figures([rows[i] for i in val], [chosen[i] for i in val], [found[i] for i in val], settings),
            "out_of_fold": _figures(rows, chosen, found, settings),
        }
    write_boxes(run / "boxes.csv", chosen)
    print_figures("boxes out of fold", record["figures"]["out_of_fold"])


def train_keypoints(settings: Settings, data: Sequence[Path], run: Path, limit: int = 0) -> None:
    """Train the keypoint network on the boxes that `boxes` wrote."""
    schema = load_schema(settings.schema)
    training_set = load_training_set(data, schema, settings.folds, run, limit)
    folder, out = run / "keypoints", run / "keypoints" / f"{FINAL}.safetensors"
    claim(folder, _claimed(settings, training_set, schema, asdict(settings.keypoints)))
    if out.exists():
        log.info("%s is there already", out)
        out.touch()
        return
    chosen = read_boxes(run / "boxes.csv", schema)
    with recorded(out.with_suffix(".json"), settings, data, assemble.interrupted(out)):
        assemble.train_keypoints(training_set.rows, chosen, schema, settings.keypoints, out)


@contextmanager
def recorded(path: Path, settings: Settings, data: Sequence[Path], resumed: bool = False) -> Iterator[dict[str, Any]]:
    """Write to `path`, when the step is done, what ran, on what, how long, and with what result.

    The time of a resumed step is that of its last part alone; the record says so.
    """
    record: dict[str, Any] = {
        "provenance": provenance(),
        "settings": asdict(settings),
        "data": [Path(root).name for root in data],
        "resumed": resumed,
    }
    with measured(record):
        yield record
    write_json(path, record)


def _claimed(settings: Settings, training_set: TrainingSet, schema: Schema, stage: dict[str, Any]) -> dict[str, Any]:
    """Everything that decides about a stage's weights; where it runs does not."""
    where = {"accelerator", "devices", "num_nodes", "strategy", "workers", "save_every"}
    return {
        "data": training_set.fingerprint,
        "schema": schema.fingerprint,
        "folds": settings.folds,
        "config": {name: value for name, value in stage.items() if name not in where},
    }


def _figures(rows: list[Annotation], chosen: list, found: list, settings: Settings) -> dict[str, float]:
    sizes = image_sizes(rows)
    report = assemble.detector_report(
        rows, sizes, chosen, found, load_schema(settings.schema), settings.detector.margin, settings.keypoints.padding
    )
    return report | {f"box_{name}": value for name, value in assemble.box_statistics(chosen, rows).items()}


def print_figures(title: str, figures: dict[str, float]) -> None:
    print(f"{title}: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
