"""The verb that tries what may be done where a box is wrong: what each remedy gains on `val`, and what it costs."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline import assemble, crop_boxes
from pipeline.assemble import Settings
from pipeline.commands.steps import inputs_of
from pipeline.commands.validation import VAL_FOLD, errors_of, held_out, place_points
from pipeline.contract.faults import UserError
from pipeline.contract.files import file_hash, write_text
from pipeline.contract.protocols import BoxSource
from pipeline.contract.schema import Schema, load_schema
from pipeline.data.select import RowSet, load_training_set
from pipeline.inference.box_sources import GivenBoxes
from pipeline.inference.remedies import Contradicted, Joined, SeveralCrops, WithContext
from pipeline.inference.second_pass import OwnPoints
from pipeline.reporting.records import provenance, read_json, write_json
from pipeline.reporting.tables import as_table
from pipeline.studies.matrix import Matrix
from pipeline.studies.noise import Difference

log = logging.getLogger("pipeline")
PLAIN = "one crop"
SCORES, LEAST_IOUS, WEIGHTS, MARGINS, WIDER = (0.1, 0.2, 0.3), (0.1, 0.3, 0.5), (0.1, 0.3, 1.0), (0.05, 0.1), 0.05
LARGER, CELL = 8 / 7, 32
"""A larger crop, in sides of the network's own, rounded to whole cells of the backbone's deepest map."""
COLUMN = "val"


@dataclass(frozen=True)
class _Parts:
    """What remedies are built from: given boxes (N, 4) with their scores (N,), the pictures' own (N, 4), and two networks."""

    locator: Any
    context: Any
    given: Tensor
    scores: Tensor
    whole: Tensor
    has: Tensor
    margin: float


def match_remedies(
    settings: Settings,
    data: Sequence[Path],
    run: Path,
    limit: int = 0,
    boxes: Path | None = None,
    name: str = "val",
    context: str = "",
) -> None:
    """Try what may be done where a box is wrong on fold 0: another crop, a second pass, several crops, the whole image.

    Args:
        settings: both stages, folds, schema
        data: train roots: folders with Annotations/*.csv and Images/
        run: run folder; holds everything that is trained, and the table NAME_remedies.md
        limit: rehearse on so many images (0: all)
        boxes: the boxes out of fold; without it RUN/boxes.csv
        name: the network RUN/keypoints/NAME, trained without fold 0, as --val does
        context: a network of whole images, trained without fold 0 likewise, for remedies that take one
    """
    schema = load_schema(settings.schema)
    whole = load_training_set(data, schema, settings.folds, run, limit, settings.layout, settings.pictures)
    found = crop_boxes.read_matched(boxes or run / "boxes.csv", whole.rows, schema)
    chosen, given = held_out(whole, found)
    score_of = {box.key: box.score for box in found}
    files = {name: run / "keypoints" / f"{name}.safetensors"} | (
        {context: run / "keypoints" / f"{context}.safetensors"} if context else {}
    )
    networks = [_without_val(file, schema) for file in files.values()]
    sizes = torch.tensor(chosen.sizes_wh).float()
    parts = _Parts(
        networks[0],
        networks[1] if context else None,
        given,
        torch.tensor([score_of[row.key] for row in chosen.rows]),
        torch.cat([torch.zeros_like(sizes), sizes], 1),
        schema.mask,
        settings.detector.margin,
    )
    inputs = inputs_of(whole) | {"boxes": file_hash(boxes or run / "boxes.csv")}
    inputs |= {label: file_hash(file) for label, file in files.items()}
    remedies = _remedies(parts)
    errors, seconds = {}, {}
    for number, (title, (source, placer)) in enumerate(remedies.items(), start=1):
        log.info("%d of %d: %s", number, len(remedies), title)
        out = run / "keypoints" / name / f"remedy_{re.sub('[^a-z0-9.]+', '_', title.lower())}.csv"
        errors[title], seconds[title] = _errors(title, source, placer, chosen, schema, settings, data, inputs, out)
    matrix = Matrix([*remedies], [COLUMN], np.isfinite(errors[PLAIN]).sum(1))
    for title, own in errors.items():
        matrix.add((title, COLUMN), np.nansum(own, axis=1))
    _write(run / f"{name}_remedies", matrix, seconds, len(chosen.rows), inputs)


def _without_val(file: Path, schema: Schema) -> Any:
    locator = assemble.load_locator(file, schema)
    if locator.without_fold != VAL_FOLD:
        raise UserError(f"{file} has seen fold {VAL_FOLD}; expected a network that left it out, as --val trains it")
    return locator


def _remedies(parts: _Parts) -> dict[str, tuple[BoxSource, Any]]:
    """Return what to crop and how to place points, by what it is called; the first is what is done without any."""
    own, plain = parts.locator, GivenBoxes(parts.given)
    side, padding = own.size_wh[0], own.padding
    larger = round(side * LARGER / CELL) * CELL
    found: dict[str, tuple[BoxSource, Any]] = {PLAIN: (plain, own)}
    for least in SCORES:
        kept_boxes = torch.where((parts.scores >= least)[:, None], parts.given, parts.whole)
        found[f"whole image where the box scores below {least:g}"] = GivenBoxes(kept_boxes), own
    for margin in MARGINS:
        found[f"second pass, margin {margin:g}"] = OwnPoints(plain, own, parts.has, margin), own
    both = OwnPoints(plain, own, parts.has, parts.margin, average=True)
    found["both passes averaged"] = both, own
    found[f"both passes averaged, the second in crops of {larger} pixels"] = (
        both,
        SeveralCrops(own, [(larger, padding)]),
    )
    found["box and points of a first pass joined"] = Joined(plain, own, parts.has, parts.margin), own
    for name, views in {
        f"padding {padding - WIDER:.2f}": [(side, padding - WIDER)],
        f"padding {padding + WIDER:.2f}": [(side, padding + WIDER)],
        "these two and its own averaged": [(side, padding + step) for step in (-WIDER, 0, WIDER)],
        f"crops of {larger} pixels": [(larger, padding)],
        f"crops of {side} and {larger} pixels averaged": [(side, padding), (larger, padding)],
    }.items():
        found[name] = plain, SeveralCrops(own, views)
    if parts.context is not None:
        for least in LEAST_IOUS:
            doubting = Contradicted(plain, parts.context, parts.has, parts.margin, least)
            found[f"box of the context's points where IoU is below {least:g}"] = doubting, own
        for weight in WEIGHTS:
            found[f"maps of the context added, weight {weight:g}"] = plain, WithContext(own, parts.context, weight)
    return found


def _errors(
    title: str,
    source: BoxSource,
    placer: Any,
    chosen: RowSet,
    schema: Schema,
    settings: Settings,
    data: Sequence[Path],
    inputs: dict[str, str],
    out: Path,
) -> tuple[np.ndarray, float]:
    """Return the errors (N, K) with a remedy, and the seconds that it took; predictions are kept beside the network."""
    own = inputs | {"remedy": title, "rows": chosen.fingerprint}

    def make() -> None:
        if not place_points(chosen, source, placer, schema, settings, own, out):
            raise SystemExit(0)  # the first process has the points

    errors = errors_of(out, chosen, schema, settings, data, own, make)
    return errors, read_json(out.with_suffix(".json"))["wall_s"]


def _write(stem: Path, matrix: Matrix, seconds: dict[str, float], images: int, inputs: dict[str, str]) -> None:
    """Write what every remedy gains and costs, as a table and as plain values."""
    made, table, content = provenance(), [], {}
    for title in matrix.rows:
        (value,) = matrix.by_seed((title, COLUMN))
        one = matrix.difference((title, COLUMN), (PLAIN, COLUMN)) or Difference(0, 0, 0)
        times = seconds[title] / seconds[PLAIN]
        gain = "-" if title == PLAIN else f"{one.value:+.2f} ({one.low:+.2f} to {one.high:+.2f})"
        table.append([title, f"{value:.2f}", f"**{gain}**" if one.sure else gain, f"{times:.2f}"])
        content[title] = {"ne": value, "above": one.value, "interval": [one.low, one.high], "seconds": seconds[title]}
    text = "\n".join(
        [
            "<!-- written by `python -m pipeline match-remedies`; do not edit -->\n",
            f"NE in percent on fold 0, {images} images, in boxes out of fold; the 95 % interval of the difference is over images "
            "alone, bold where it leaves zero out. Time against one crop, whole way with the reading of the pictures.\n",
            as_table(["remedy", "NE %", f"to {PLAIN}", "time"], table),
            f"`{made['command']}`, commit {made['commit']}, {made['machine']}\n",
        ]
    )
    write_text(stem.with_suffix(".md"), text)
    write_json(stem.with_suffix(".json"), {"provenance": made, "inputs": inputs, "images": images, "remedies": content})
    print(text)
