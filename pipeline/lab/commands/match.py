"""The verb that tells how alike the boxes of training and those of testing are."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from garment_keypoints.detector.inference import load_detector
from garment_keypoints.pipeline.contract.box_kinds import true_boxes
from garment_keypoints.pipeline.contract.boxes import BoxTable, read_matched
from garment_keypoints.pipeline.contract.crops import MEASURES, BoxSet
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import file_hash, refuse_foreign, write_text
from garment_keypoints.pipeline.contract.formats.boxes import MARGIN, read_boxes, read_margin, write_boxes
from garment_keypoints.pipeline.contract.formats.registry import find_layout
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.records import Annotation, BoxRow, Key
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.data.select import RowSet, load_test_rows
from garment_keypoints.pipeline.data.survey import image_sizes
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.fold_boxes import predict_boxes
from garment_keypoints.pipeline.engine.shards import remove_shards
from garment_keypoints.pipeline.lab.match.distributions import PADDINGS, cumulative, distances_above, jittered, summary
from garment_keypoints.pipeline.lab.noise import Difference
from garment_keypoints.pipeline.reporting.pictures import save_png
from garment_keypoints.pipeline.reporting.plots import Panel, draw_panels
from garment_keypoints.pipeline.reporting.scores import answers_of
from garment_keypoints.pipeline.runs.json_files import holds, write_json
from garment_keypoints.pipeline.runs.outputs import alone_at_out
from garment_keypoints.pipeline.runs.provenance import measured, provenance

TEST_BOXES = "test_boxes"
BOXES = ".csv"
"""How a file of boxes is told from a checkpoint."""
COLUMNS = {
    "boxes": "boxes",
    "iou": "mean IoU",
    "iou_below_half": "IoU < 0.5 %",
    "shift": "mean shift %",
    "log_scale": "median log scale",
    "log_scale_sd": "its sd",
    "log_aspect_sd": "sd of log aspect",
    "contained": "points in the crop %",
    "zoom": "zoom",
    "fallback": "fallback %",
    "ks": "KS distance",
}
PERCENT = ("iou_below_half", "shift", "contained", "fallback")


@alone_at_out
def match(
    boxes: Sequence[Path],
    out: Path,
    device: Device,
    pictures: PictureOptions,
    data: Sequence[Path] = (),
    test: Path | None = None,
    answers: Path | None = None,
    detector: Path | None = None,
    to: Path | None = None,
    padding: float = 0.15,
    margin: float | None = None,
    jitter: float = 0.05,
    limit: int = 0,
    schema: str = "fashionai",
    layout: str = "fashionai",
) -> None:
    """Tell how far boxes are from the true ones, and how near each kind is to the boxes of testing: a table and a figure.

    Args:
        boxes: files of boxes of the training images, such as RUN/boxes.csv and RUN/boxes_in_sample.csv
        out: folder for match.md, match.png, match.json, and the boxes of the test folder
        device: where the detector runs
        pictures: what a picture may cost
        data: train roots, whose annotations say where the true boxes are
        test: folder with test.csv and Images/; the boxes that the detector finds there are what the others are held against
        answers: its answers
        detector: detector checkpoint for the test folder, or a file of the boxes that one has found there
        to: without a test folder, the file of boxes to hold the others against; without it the last of --boxes
        padding: a crop shows its box grown on each side by this fraction of its sides
        margin: true boxes are the extents of the points, grown on each side by this fraction; without it that which the boxes'
            records say of their detectors
        jitter: true boxes whose sides move by up to this fraction are compared as well
        limit: rehearse on so many images of the test folder (0: all)
        schema: packaged schema, or a YAML file of your own
        layout: how the data lie on disk: fashionai, coco, deepfashion2, or MODULE:OBJECT
    """
    if len({test is None, answers is None, detector is None}) > 1:
        raise UserError("--test, --answers and --detector belong together: the detector's boxes of a test folder")
    if test is not None and to is not None:
        raise UserError("--to and --test both name what the boxes are held against; expected one of them")
    loaded, record = load_schema(schema), out / "match.json"
    refuse_foreign(record, lambda file: holds(file, "provenance", "match"), "what this command wrote", "another --out")
    known = {row.key: row for row in find_layout(layout).read_annotations(data, loaded)} if data else {}
    content: dict[str, Any] = {"provenance": provenance(), "padding": padding}
    with measured(content):
        named = [*boxes] if to is None else [*boxes, to]
        files = dict(zip(_names(named), named, strict=True))
        found = {}
        for name, file in files.items():
            rows, table = _annotated(read_boxes(file, loaded), known, file)
            found[name + (" (out of fold)" if (table.fold >= 0).all() else "")] = rows, table
        if test is not None and answers is not None and detector is not None:
            place = out / f"{TEST_BOXES}.csv"
            tested, table = boxes_of_test(test, answers, detector, loaded, device, place, pictures, layout, limit)
            files["test boxes"] = detector if detector.suffix == BOXES else place
            found["test boxes"] = tested.rows, table
        content["margin"] = margin = _margin([*files.values()], margin)
        sets = [_box_set(name, rows, table, margin) for name, (rows, table) in found.items()]
        first, reference = sets[0], sets[-1]
        sets[:0] = [
            replace(first, name="true boxes", boxes=first.truth, fallback=np.zeros(len(first.truth))),
            replace(first, name=f"true boxes, jitter {jitter:g}", boxes=jittered(first.truth, jitter)),
        ]
        content["inputs"] = {name: file_hash(file) for name, file in files.items()}
        content["to"] = reference.name
        content["match"] = {one.name: summary(one, reference, padding) for one in sets}
        above = distances_above(sets[:-1], reference)
        content["above"] = {row: {name: asdict(one) for name, one in cells.items()} for row, cells in above.items()}
        content["contained"] = {one.name: {str(p): one.contained(p) for p in PADDINGS} for one in sets}
    write_text(out / "match.md", _table(content))
    save_png(out / "match.png", draw_panels(_panels(sets)))
    write_json(record, content)
    print(_table(content))


def _names(files: Sequence[Path]) -> list[str]:
    """Return a name of each file: that of its folder as well where two are called the same."""
    stems = [file.stem for file in files]
    return [
        stem.replace("_", " ") if stems.count(stem) == 1 else f"{file.parent.name}/{stem}"
        for file, stem in zip(files, stems, strict=True)
    ]


def _margin(files: Sequence[Path], margin: float | None) -> float:
    """Return the margin of true boxes: the given one, or that of the files, which must have the same one."""
    if margin is not None:
        return margin
    margins = {file: read_margin(file) for file in files}
    if len({*margins.values()}) > 1:
        each = ", ".join(f"{file} {one:g}" for file, one in margins.items())
        raise UserError(
            f"the boxes are those of detectors with different margins ({each}); say by --margin what is true"
        )
    return margins[files[0]]


def _annotated(
    boxes: Sequence[BoxRow], known: Mapping[Key, Annotation], file: Path
) -> tuple[list[Annotation], BoxTable]:
    """Return the annotated row of each box, and the boxes; raise UserError for boxes of images without annotations."""
    unknown = [box.image_id for box in boxes if box.key not in known]
    if unknown or not boxes:
        raise UserError(
            f"{file}: {len(unknown)} of {len(boxes)} boxes are of images that --data does not annotate"
            f"{f', first {unknown[0]}' if unknown else ''}; name their train roots"
        )
    return [known[box.key] for box in boxes], BoxTable.of(boxes)


def _box_set(name: str, rows: Sequence[Annotation], boxes: BoxTable, margin: float) -> BoxSet:
    """Return boxes beside the true ones of their rows; without rows that have no point, and so no true box."""
    pointed = [i for i, row in enumerate(rows) if row.present.any()]
    rows, boxes = [rows[i] for i in pointed], boxes.take(pointed)
    truth = true_boxes(rows, torch.tensor(image_sizes(rows)), margin).numpy()
    return BoxSet(name, rows, boxes.boxes, truth, boxes.fallback.astype(float))


def boxes_of_test(
    test: Path,
    answers: Path,
    detector: Path,
    schema: Schema,
    device: Device,
    place: Path,
    pictures: PictureOptions,
    layout: str,
    limit: int,
) -> tuple[RowSet, BoxTable]:
    """Return the rows of a test folder with their answers, and the boxes that a detector finds there, as `submit` crops them.

    Those of a checkpoint are kept at `place`, with a record of its margin; a file of boxes is read instead of it.
    """
    tested = load_test_rows(test, schema, limit, layout, pictures)
    truth = answers_of(tested.rows, answers, schema, layout, tested.sizes_wh)
    rows = RowSet(rows=truth, sizes_wh=tested.sizes_wh, digests=tested.digests)
    if detector.suffix == BOXES:
        return rows, read_matched(detector, rows.rows, schema)
    network = load_detector(detector, schema)
    shards = place.with_suffix(".parts")
    result = predict_boxes(rows, network, schema, device, shards, pictures)
    remove_shards(shards)
    write_boxes(place, result.boxes)
    write_json(place.with_suffix(".json"), {MARGIN: network.margin})
    return rows, read_matched(place, rows.rows, schema)  # as whoever names the file will have them


def _table(content: dict[str, Any]) -> str:
    lines = [
        "<!-- written by `python -m pipeline lab match`; do not edit -->\n",
        f"Boxes against the true ones; KS distance: to {content['to']}, the mean over IoU, shifts, scale and aspect. Crops "
        f"with padding {content['padding']:g}.\n",
        f"| boxes | {' | '.join(COLUMNS.values())} |",
        "| --- " * (1 + len(COLUMNS)) + "|",
    ]
    for name, figures in content["match"].items():
        cells = [_cell(column, figures[column]) for column in COLUMNS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += _above(content)
    lines += ["\nVisible points in the squared crop, %, by padding:\n"]
    lines += [f"| boxes | {' | '.join(f'{p:g}' for p in PADDINGS)} |", "| --- " * (1 + len(PADDINGS)) + "|"]
    for name, shares in content["contained"].items():
        lines.append(f"| {name} | {' | '.join(f'{100 * share:.2f}' for share in shares.values())} |")
    made = content["provenance"]
    lines += [f"\n`{made['command']}`, commit {made['commit']}, {made['machine']}, {content['wall_s']:.0f} s\n"]
    return "\n".join(lines)


def _above(content: Mapping[str, Any]) -> list[str]:
    """Return the lines of a table of how much farther each set of boxes is than every other."""
    above = {row: [Difference(**one).as_cell(3) for one in cells.values()] for row, cells in content["above"].items()}
    columns = [*content["match"]][: len(above)]
    lines = [
        "\nKS distance of the row above that of the column, with the 95 % interval over images; bold where it leaves zero out:\n",
        f"| boxes | {' | '.join(columns)} |",
        "| --- " * (1 + len(columns)) + "|",
    ]
    for row, cells in above.items():
        lines.append(f"| {row} | {' | '.join([*cells, *[''] * (len(columns) - len(cells))])} |")
    return lines


def _cell(column: str, value: float) -> str:
    if column == "boxes":
        return str(value)
    return f"{100 * value:.1f}" if column in PERCENT else f"{value:.3f}"


def _panels(sets: Sequence[BoxSet]) -> list[Panel]:
    """Return the cumulative distribution of every measure, and containment against padding."""
    errors = {one.name: one.errors() for one in sets}
    panels = [
        Panel(title, "share of the boxes below, up", {name: cumulative(own[measure]) for name, own in errors.items()})
        for measure, title in MEASURES.items()
    ]
    at = np.array(PADDINGS)
    held = {one.name: (at, np.array([100 * one.contained(p) for p in PADDINGS])) for one in sets}
    return [*panels, Panel("visible points in the squared crop, %", "padding", held, marks=True)]
