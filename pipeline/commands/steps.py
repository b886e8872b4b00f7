"""What all steps of a run share: the record that says how a step was made, and what tells one make from another."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.assemble import Settings
from pipeline.contract.files import file_hash
from pipeline.contract.schema import Schema
from pipeline.data.select import TrainingSet
from pipeline.learning import ranks
from pipeline.reporting.records import measured, provenance, read_json, write_json

log = logging.getLogger("pipeline")
BOXED, START = "boxed", "start"
PLACE = ("accelerator", "devices", "num_nodes", "strategy", "workers", "save_every")
"""Settings of a training that say where it runs, and decide nothing about its weights."""
REMEDY = "choose another run folder (RUN=)"


@contextmanager
def recorded(
    out: Path, settings: Settings, data: Sequence[Path], inputs: dict[str, str], resumed: bool = False
) -> Iterator[dict[str, Any]]:
    """Write beside `out`, when the step is done, what ran, on what, how long, and with what result.

    Files are named by hash. The time of a resumed step is that of its last part alone; the record says so.
    """
    record: dict[str, Any] = {
        "provenance": provenance(),
        "settings": asdict(settings),
        "data": [Path(root).name for root in data],
        "inputs": inputs,
        "resumed": resumed,
    }
    with measured(record):
        yield record
    if ranks.is_zero():
        record["outputs"] = {out.name: file_hash(out)}
        write_json(out.with_suffix(".json"), record)


def kept(out: Path) -> bool:
    """Tell whether a step is done: its result is there, and the record, which is written last; make sees them as new."""
    record = out.with_suffix(".json")
    if not (out.exists() and record.exists()):
        return False
    read_json(record)  # a damaged one is none
    log.info("%s is there already", out)
    out.touch()
    record.touch()
    return True


def inputs_of(training_set: TrainingSet) -> dict[str, str]:
    return {"annotations": training_set.fingerprint}


def beside_data(inputs: Any) -> dict[str, str]:
    """Return what of a detector's inputs says which garments without points it learned from, and what it started from."""
    return {name: inputs[name] for name in (BOXED, START) if name in inputs} if isinstance(inputs, dict) else {}


def claimed(settings: Settings, training_set: TrainingSet, schema: Schema, stage: str) -> dict[str, Any]:
    """Everything that decides about the weights of the stage `detector` or `keypoints`; where it runs does not."""
    return {
        "data": training_set.fingerprint,
        "schema": schema.fingerprint,
        "folds": settings.folds,
        "detail": settings.pictures.detail,
        **_stage_deciding(settings, stage),
    }


def unsaid(stage: str) -> dict[str, Any]:
    """What the claim of an older version, which has fewer settings, is to be completed with: their defaults."""
    return _stage_deciding(Settings(), stage)


def _stage_deciding(settings: Settings, stage: str) -> dict[str, Any]:
    group = asdict(getattr(settings, stage))
    return {"config": group | {"train": {name: value for name, value in group["train"].items() if name not in PLACE}}}
