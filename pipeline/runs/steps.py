"""What all steps of a run share: the record that says how a step was made, and what tells one make from another."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from garment_keypoints.pipeline.contract.files import file_hash
from garment_keypoints.pipeline.data.select import TrainingSet
from garment_keypoints.pipeline.learning import ranks
from garment_keypoints.pipeline.runs.json_files import read_json, write_json
from garment_keypoints.pipeline.runs.provenance import measured, provenance

log = logging.getLogger("garment_keypoints")
BOXED, START = "boxed", "start"
REMEDY = "choose another run folder (RUN=)"


@contextmanager
def recorded(
    out: Path, settings: Any, data: Sequence[Path], inputs: dict[str, str], resumed: bool = False
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
