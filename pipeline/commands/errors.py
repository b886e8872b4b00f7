"""The verb that reports which errors a submission makes."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from garment_keypoints.detector.inference import NetworkDetector, load_detector
from garment_keypoints.pipeline import views
from garment_keypoints.pipeline.contract import geometry
from garment_keypoints.pipeline.contract.box_kinds import true_boxes
from garment_keypoints.pipeline.contract.boxes import BoxTable
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import refuse_foreign, write_text
from garment_keypoints.pipeline.contract.formats.csv_files import INSTANCE
from garment_keypoints.pipeline.contract.formats.registry import find_layout
from garment_keypoints.pipeline.contract.formats.submission import read_submission
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.metrics import normalized_error
from garment_keypoints.pipeline.contract.records import Annotation
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.data.select import RowSet
from garment_keypoints.pipeline.engine.box_sources import box_source
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.inference import Inference
from garment_keypoints.pipeline.engine.shards import remove_shards
from garment_keypoints.pipeline.learning.pairs import Pair
from garment_keypoints.pipeline.reporting.decomposition import Scored, decomposition
from garment_keypoints.pipeline.reporting.error_page import HEAD, Case, error_page
from garment_keypoints.pipeline.reporting.errors import KINDS, UNCOUNTED, Facet, facets, kinds_of, shares
from garment_keypoints.pipeline.reporting.pictures import prediction_picture
from garment_keypoints.pipeline.runs.json_files import holds, write_json
from garment_keypoints.pipeline.runs.outputs import alone_at_out
from garment_keypoints.pipeline.runs.provenance import provenance
from PIL import Image

PAGE, FIGURES, POINTS, PARTS = "index.html", "errors.json", "points.csv", ".parts"
DECOMPOSITION, TABLE_HEAD = "errors.md", "<!-- written by `python -m pipeline errors`; do not edit -->\n\n"
POINTS_HEAD = ("image_id", "category", "keypoint", "x", "y", "true_x", "true_y", "error", "kind")


@alone_at_out
def errors(
    submission: Path,
    answers: Path,
    out: Path,
    device: Device,
    pictures: PictureOptions,
    weights: str = "",
    detector: Path | None = None,
    keypoints: Path | None = None,
    worst: int = 24,
    before: Path | None = None,
    schema: str = "fashionai",
    layout: str = "fashionai",
) -> None:
    """Report the errors of a submission: their kinds, where they come from, and the worst cases, as a page to open.

    Args:
        submission: submission CSV
        answers: answer CSV, with the pictures beside it
        out: folder; gets index.html, errors.md, errors.json and points.csv
        device: where the networks run
        pictures: what a picture may cost
        weights: pair of networks that made the submission, to tell errors by the quality of their boxes and to show their
            heatmaps; without it neither is there
        detector: detector checkpoint, for the one of the pair
        keypoints: keypoint checkpoint, for the one of the pair
        worst: so many of the worst images are shown
        before: an earlier submission of the same images, to stand beside this one in errors.md
        schema: packaged schema, or a YAML file of your own
        layout: how the data lie on disk: fashionai, coco, deepfashion2, or MODULE:OBJECT
    """
    if worst < 0:
        raise UserError(f"--worst is {worst}; expected 0 or more")
    _refuse_foreign(out)
    loaded = load_schema(schema)
    rows, xy, given = _predicted(submission, find_layout(layout).read_answers(answers, loaded), loaded)
    scored = normalized_error(rows, xy, given, loaded)
    kinds = kinds_of(rows, xy, given, scored.errors, loaded)
    pictured = RowSet.by_headers(rows, pictures)
    sizes_wh = pictured.sizes_wh
    per_image = scored.per_image()
    order = [int(i) for i in np.argsort(-np.nan_to_num(per_image, nan=-1)) if np.isfinite(per_image[i])][:worst]
    boxes, maps, iou = [None] * len(rows), [], None
    if weights or (detector and keypoints):
        pair = Pair.of(weights, detector, keypoints)
        finder = load_detector(pair.detector, loaded)
        table = _boxes(finder, pictured, loaded, device, pictures, out / PARTS)
        # Of the boxes that the detector was to find, which have its margin.
        truth = true_boxes(rows, torch.tensor(sizes_wh), finder.margin)
        iou = geometry.box_iou(torch.tensor(table.boxes), truth.double()).numpy()
        boxes, worst_rows = table.boxes, [rows[i] for i in order]
        maps = views.heatmaps(worst_rows, table.take(order), loaded, pair.keypoints, pictures)
    decomposed = _decomposed(rows, Scored(scored.errors, kinds), submission, before, loaded)
    every = facets(rows, sizes_wh, iou, loaded)
    cases = [
        _case(rows[i], xy[i], given[i], per_image[i], kinds[i], loaded, boxes[i], maps[n : n + 1])
        for n, i in enumerate(order)
    ]
    about = f"Submission {submission.name}, answers {answers.parent.name}/{answers.name}."
    write_json(out / FIGURES, _figures(every, scored.errors, kinds))
    write_text(out / DECOMPOSITION, decomposed)
    write_text(out / POINTS, _table(rows, xy, scored.errors, kinds, loaded))
    write_text(out / PAGE, error_page(f"Errors of {submission.name}", every, scored.errors, kinds, cases, about))
    print(out / PAGE)


def _decomposed(rows: Sequence[Annotation], own: Scored, submission: Path, before: Path | None, schema: Schema) -> str:
    submissions = {}
    if before is not None:
        others, xy, given = _predicted(before, rows, schema)
        if len(others) != len(rows):
            raise UserError(
                f"--before {before}: it has {len(others)} of the {len(rows)} images of {submission.name}; expected all of them"
            )
        errors_before = normalized_error(rows, xy, given, schema).errors
        submissions["before"] = Scored(errors_before, kinds_of(rows, xy, given, errors_before, schema))
    submissions["now" if submissions else submission.stem] = own
    made = provenance()
    return f"{TABLE_HEAD}{decomposition(submissions)}\n`{made['command']}`, commit {made['commit']}\n"


def _refuse_foreign(out: Path) -> None:
    remedy = "choose another --out"
    refuse_foreign(
        out / PAGE, lambda file: file.read_bytes().startswith(HEAD.encode()), "a report of this command", remedy
    )
    refuse_foreign(out / FIGURES, lambda file: holds(file, "facets", "provenance"), "a report of this command", remedy)
    table = TABLE_HEAD.encode()
    refuse_foreign(
        out / DECOMPOSITION, lambda file: file.read_bytes().startswith(table), "a table of this command", remedy
    )
    head = ",".join(POINTS_HEAD).encode()
    refuse_foreign(out / POINTS, lambda file: file.read_bytes().startswith(head), "a table of this command", remedy)


def _predicted(
    file: Path, answers: Sequence[Annotation], schema: Schema
) -> tuple[list[Annotation], np.ndarray, np.ndarray]:
    """Return the answers that the submission has a row of, its points (N, K, 2), and which are given (N, K)."""
    found = read_submission(file, schema)
    rows = [answer for answer in answers if answer.key in found]
    if not rows:
        raise UserError(f"{file}: none of its images is in the answers; is it the submission of another test?")
    lacking = [row.path for row in rows if not row.path.is_file()]
    if lacking:
        raise UserError(f"{lacking[0]}: missing, one of {len(lacking)}; the pictures have to lie beside the answers")
    return (
        rows,
        np.stack([found[row.key].xy for row in rows]),
        np.stack([found[row.key].given for row in rows]),
    )


def _boxes(
    finder: NetworkDetector,
    rows: RowSet,
    schema: Schema,
    device: Device,
    pictures: PictureOptions,
    shards: Path,
) -> BoxTable:
    """Return the box of each row as `submit` chooses it."""
    source = box_source("detector", finder, rows.sizes_wh, None)
    result = Inference(source, None, schema, device, pictures).run(rows, shards)
    remove_shards(shards)
    return BoxTable.of(result.boxes)


def _case(
    row: Annotation,
    xy: np.ndarray,
    given: np.ndarray,
    error: float,
    kinds: np.ndarray,
    schema: Schema,
    box: np.ndarray | None,
    maps: Sequence[Image.Image],
) -> Case:
    picture = prediction_picture(row, row, xy, given, schema, box)
    wrong = [f"{schema.keypoints[k]} ({KINDS[kind]})" for k, kind in enumerate(kinds) if kind >= KINDS.index("swap")]
    caption = f"{row.named}: {row.category}, NE {100 * error:.1f} %"
    return Case([picture, *maps], f"{caption}; {', '.join(wrong)}" if wrong else caption)


def _figures(every: Sequence[Facet], scored: np.ndarray, kinds: np.ndarray) -> dict[str, object]:
    by_facet = {facet.title: [asdict(one) for one in shares(facet, scored, kinds)] for facet in every}
    return {"provenance": provenance(), "kinds": list(KINDS), "facets": by_facet}


def _table(rows: Sequence[Annotation], xy: np.ndarray, scored: np.ndarray, kinds: np.ndarray, schema: Schema) -> str:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    several = any(row.instance for row in rows)
    lines.writerow([*POINTS_HEAD, INSTANCE] if several else POINTS_HEAD)
    for i, k in zip(*np.nonzero(kinds != UNCOUNTED), strict=True):
        places = [*xy[i, k], *rows[i].xy[k]]
        named = (rows[i].image_id, rows[i].category, schema.keypoints[k])
        of = [rows[i].instance] if several else []
        lines.writerow([*named, *places, f"{scored[i, k]:.4f}", KINDS[kinds[i, k]], *of])
    return text.getvalue()
