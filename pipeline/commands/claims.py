"""The verb that measures what the write-up blamed: lost points, and other garments in the crop."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from pipeline import assemble
from pipeline.contract.faults import UserError
from pipeline.contract.files import file_hash, json_object, refuse_foreign
from pipeline.contract.images import PictureOptions
from pipeline.contract.metrics import normalized_error
from pipeline.contract.records import VISIBLE, Annotation
from pipeline.contract.schema import Schema, load_schema
from pipeline.data.select import RowSet, load_test_rows
from pipeline.inference.box_sources import GivenBoxes
from pipeline.inference.predict import Device, predict
from pipeline.inference.shards import remove_shards
from pipeline.reporting.records import holds, measured, provenance, write_json
from pipeline.reporting.scores import answers_of
from pipeline.studies.claims import crops_of, interval, invaded, losing_one

LARGE_SHARE = 0.1
"""Of a crop's area, that another garment covers at least in an invaded one."""


def claims(
    test: Path,
    answers: Path,
    keypoints: Path,
    out: Path,
    device: Device,
    pictures: PictureOptions,
    garments: Path | None = None,
    margin: float = 0.05,
    limit: int = 0,
    schema: str = "fashionai",
) -> None:
    """Measure the write-up's claims: does one lost point misplace the others, and how often is another garment in the crop.

    Args:
        test: folder with test.csv and Images/
        answers: its answers
        keypoints: keypoint checkpoint
        out: results file, .json
        device: where the network runs
        pictures: what a picture may cost
        garments: every garment of the pictures (a sample's all_garments.json), to tell which crops others invade
        margin: true boxes are the extents of the points, grown on each side by this fraction
        limit: rehearse on so many images (0: all)
        schema: packaged schema, or a YAML file of your own
    """
    refuse_foreign(
        out, lambda file: holds(file, "provenance", "claims"), "what this command wrote", "choose another --out"
    )
    loaded = load_schema(schema)
    locator = assemble.load_locator(keypoints, loaded)
    tested = load_test_rows(test, loaded, limit, pictures=pictures)
    truth = answers_of(tested.rows, answers, loaded, sizes_wh=tested.sizes_wh)
    every = _garments(garments, truth) if garments else None
    rows = RowSet(rows=truth, sizes_wh=tested.sizes_wh, digests=tested.digests)
    boxes = assemble.true_boxes(truth, torch.tensor(rows.sizes_wh), margin).double().numpy()
    subject = _Subject(locator, file_hash(keypoints), loaded, device, pictures, out)
    record: dict[str, Any] = {"provenance": provenance(), "keypoints": subject.fingerprint}
    with measured(record):
        whole = subject.errors(rows, boxes, "whole")
        record["claims"] = {"lost_point": _lost_point(subject, rows, boxes, whole)}
        if every is not None:
            crops = crops_of(boxes, locator.padding)
            record["claims"]["invaded"] = _invaded(truth, crops, whole, every)
    write_json(out, record)
    print(json.dumps(record["claims"], indent=1))


@dataclass(frozen=True)
class _Subject:
    """The network that is asked, and how."""

    locator: Any
    fingerprint: str
    schema: Schema
    device: Device
    pictures: PictureOptions
    out: Path

    def errors(self, rows: RowSet, boxes: np.ndarray, name: str) -> np.ndarray:
        """Return the errors (N, K) of the counted points, as fractions of the normaliser, in crops of boxes (N, 4)."""
        source, parts = GivenBoxes(torch.from_numpy(boxes).float()), self.out.with_suffix(f".{name}.parts")
        job = {"keypoints": self.fingerprint, "rows": rows.fingerprint, "boxes": boxes.tolist()}
        job["detail"] = self.pictures.detail
        result = predict(
            rows.rows, source, self.locator, self.schema, self.device, parts, job,
            sizes_wh=rows.sizes_wh, pictures=self.pictures,
        )  # fmt: skip
        if result is None:
            raise SystemExit(0)  # the first process has the points
        xy = np.stack([one.xy for one in result.keypoints])
        truth = cast(Sequence[Annotation], rows.rows)
        scored = normalized_error(truth, xy, np.ones(xy.shape[:2], dtype=bool), self.schema)
        remove_shards(parts)
        return scored.errors


def _lost_point(subject: _Subject, rows: RowSet, boxes: np.ndarray, whole: np.ndarray) -> dict[str, Any]:
    """Return the error of the points that stay, in true boxes and in those whose crop loses one point."""
    truth, counted = cast(Sequence[Annotation], rows.rows), np.isfinite(whole)
    cut = [
        losing_one(box, row.xy, kept, subject.locator.padding)
        for box, row, kept in zip(boxes, truth, counted, strict=True)
    ]
    able = [i for i, one in enumerate(cut) if one is not None and counted[i].sum() > 1]
    if not able:
        raise UserError(
            "no image has a point that a crop could lose alone; expected garments with several visible points"
        )
    lost = subject.errors(rows.take(able), np.stack([cut[i][0] for i in able]), "lost")
    stay = counted[able].copy()
    stay[np.arange(len(able)), [cut[i][1] for i in able]] = False
    before, after = (np.where(stay, errors, 0).sum(1) for errors in (whole[able], lost))
    points = stay.sum(1)
    low, high = interval((after - before) / points, points)
    return {
        "images": len(able),
        "images_without_such_a_crop": len(truth) - len(able),
        "points": int(points.sum()),
        "ne_of_the_others": 100 * float(before.sum() / points.sum()),
        "ne_of_the_others_after": 100 * float(after.sum() / points.sum()),
        "difference_95": [100 * low, 100 * high],
        "images_worse_by_5": float(((after - before) / points > 0.05).mean()),
    }


def _invaded(
    truth: Sequence[Annotation], crops: np.ndarray, whole: np.ndarray, every: Sequence[Sequence[dict[str, Any]]]
) -> dict[str, Any]:
    """Return how many crops other garments invade, and the error in those and in the rest."""
    shares, held = [], []
    for crop, garments in zip(crops, every, strict=True):
        others = [one for one in garments if not one["labelled"]]
        points = [np.array([xyv[:2] for xyv in one["points"].values() if xyv[2] == VISIBLE]) for one in others]
        share, count = invaded(crop, [np.array(one["box"]) for one in others], [xy for xy in points if len(xy)])
        shares.append(share)
        held.append(count)
    taken = np.array(shares) >= LARGE_SHARE
    counted = np.isfinite(whole)

    def ne(chosen: np.ndarray) -> float | None:
        return 100 * float(whole[chosen][counted[chosen]].mean()) if counted[chosen].any() else None

    return {
        "images": len(truth),
        "with_another_point_in_the_crop": float((np.array(held) > 0).mean()),
        f"with_another_garment_over_{LARGE_SHARE:g}_of_the_crop": float(taken.mean()),
        "ne_of_those": ne(taken),
        "ne_of_the_rest": ne(~taken),
    }


def _garments(file: Path, truth: Sequence[Annotation]) -> list[list[dict[str, Any]]]:
    """Read every garment of the pictures, as the sample writes them beside its answers."""
    content = json_object(file)
    lacking = [row.image_id for row in truth if content is None or row.image_id not in content]
    if content is None or lacking:
        what = "no JSON object" if content is None else f"without {lacking[0]}"
        raise UserError(f"{file}: {what}; expected the all_garments.json of the sample that the answers are of")
    return [content[row.image_id] for row in truth]
