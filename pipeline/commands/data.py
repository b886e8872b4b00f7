"""Verbs about data: draw the sample, check a dataset, look at what the loaders yield."""

from collections.abc import Sequence
from pathlib import Path

from pipeline import assemble
from pipeline.assemble import Settings
from pipeline.contract.faults import report as report_faults
from pipeline.contract.formats.boxes import read_boxes
from pipeline.contract.formats.fashionai import read_annotations
from pipeline.contract.schema import load_schema
from pipeline.data.check import check_dataset
from pipeline.data.select import sample_rows
from pipeline.reporting.pictures import save_png
from pipeline.sample.write import draw_dataset

LOOKED_AT = 24


def sample(out: Path, train: int, test: int, seed: int, size: int) -> None:
    """Draw the sample dataset."""
    draw_dataset(out, train, test, seed, size)


def check(data: Sequence[Path], test: Path | None, answers: Path | None, schema: str) -> bool:
    """Describe a dataset and report all its faults; return whether it is sound."""
    if not data and test is None and answers is None:
        raise ValueError("nothing to check; name --data, --test or --answers")
    lines, faults = check_dataset(data, test, answers, load_schema(schema))
    print("\n".join(lines))
    if faults:
        print(report_faults(faults))
        return False
    print("no faults")
    return True


def look(settings: Settings, data: Sequence[Path], run: Path, stage: str, out: Path, limit: int = 0) -> None:
    """Draw what a stage's loader really yields, and for the second stage the boxes that it trains on."""
    schema = load_schema(settings.schema)
    rows = sample_rows(read_annotations(data, schema), limit)
    sheets = {}
    if stage == "detector":
        sheets["detector_inputs"] = assemble.look_at_detector(rows, schema, settings.detector, LOOKED_AT)
    file = run / "boxes.csv"
    if file.exists():
        chosen = read_boxes(file, schema)
        if stage == "detector":
            sheets["boxes"] = assemble.look_at_boxes(rows, chosen, schema, settings)
        else:
            sheets["crops"] = assemble.look_at_keypoints(rows, chosen, schema, settings.keypoints, LOOKED_AT)
    elif stage == "keypoints":
        raise ValueError(f"{file}: not there yet; write it with the boxes command")
    for name, sheet in sheets.items():
        save_png(out / f"{name}.png", sheet)
        print(out / f"{name}.png")
