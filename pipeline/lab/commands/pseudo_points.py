"""The verb by which networks place points in photos that nobody has annotated, for another network to learn from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from garment_keypoints.keypoints.inference import load_locator
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import file_hash, refuse_foreign
from garment_keypoints.pipeline.contract.formats.pseudo_points import RECORD, write_pseudo_points
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.records import Keypoints
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.data.select import RowSet, load_boxed
from garment_keypoints.pipeline.engine.box_sources import GivenBoxes
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.inference import Inference
from garment_keypoints.pipeline.engine.shards import remove_shards
from garment_keypoints.pipeline.lab.consensus import Agreed
from garment_keypoints.pipeline.learning.pairs import DEFAULT, Pair
from garment_keypoints.pipeline.learning.placement import device_of
from garment_keypoints.pipeline.reporting.pictures import contact_sheet, draw_box, draw_points, drawable, save_png
from garment_keypoints.pipeline.runs.json_files import holds, write_json
from garment_keypoints.pipeline.runs.outputs import alone_at_out
from garment_keypoints.pipeline.runs.provenance import measured, provenance

PADDINGS = (-0.05, 0.0, 0.1)
"""What the views add to the network's own padding."""
SHOWN = 24


@alone_at_out
def pseudo_points(
    boxed: Path,
    photos: Path,
    out: Path,
    device: Device,
    pictures: PictureOptions,
    keypoints: Sequence[Path] = (),
    tolerance: float = 0.04,
    least_score: float = 0.15,
    least_share: float = 0.5,
    limit: int = 0,
    schema: str = "fashionai",
) -> None:
    """Place points in boxed photos that nobody has annotated, where several views agree, for train-keypoints --pseudo_points.

    Every network is shown crops of three paddings and their mirror images. A point is given where all views are near
    their mean, and sure enough; a garment where enough of its points are.

    Args:
        boxed: garments with a box, such as `pseudo-label` writes: a CSV of image_id,category,x0,y0,x1,y1; one a photo
        photos: folder of the photos
        out: folder for points.csv, boxed.csv, points.json, and look.png
        device: where the networks run
        pictures: what a picture may cost
        keypoints: keypoint checkpoints that place them; without any, that of the packaged pair
        tolerance: how far a view may be from the mean, as a fraction of the box's longer side
        least_score: least mean score of a point
        least_share: least share of a garment's points that are given
        limit: rehearse on so many photos (0: all)
        schema: packaged schema, or a YAML file of your own
    """
    for name, value in {"tolerance": tolerance, "least_score": least_score, "least_share": least_share}.items():
        if not 0 <= value <= 1:
            raise UserError(f"--{name} is {value}; expected 0 to 1")
    record = out / RECORD
    refuse_foreign(
        record, lambda file: holds(file, "provenance", "without_fold"), "what this command wrote", "another --out"
    )
    loaded = load_schema(schema)
    files = list(keypoints) or [Pair.of(DEFAULT, None, None, "torch", device_of(device)).keypoints]
    locators = [load_locator(file, loaded, flip_test=False) for file in files]
    left_out = {one.without_fold for one in locators}
    if len(left_out) > 1:
        raise UserError("--keypoints: these networks left out different folds; expected the same one, or none")
    rows = _one_a_photo(load_boxed(boxed, photos, loaded, limit, pictures))
    content: dict[str, Any] = {"provenance": provenance(), "without_fold": left_out.pop()}
    content["inputs"] = {"boxed": file_hash(boxed), "keypoints": [file_hash(file) for file in files]}
    content["settings"] = {"tolerance": tolerance, "least_score": least_score, "least_share": least_share}
    with measured(content):
        paddings = [locators[0].padding + step for step in PADDINGS]
        predictor = Agreed(locators, paddings, torch.tensor(loaded.flip_index), tolerance)
        given = GivenBoxes(torch.tensor(np.stack([row.box for row in rows.rows])), origin="detector")
        shards = out / "points.parts"
        result = Inference(given, predictor, loaded, device, pictures).run(rows, shards)
    xy, agreed = _agreed(rows, result.keypoints, loaded, least_score)
    members = loaded.mask.numpy()[[loaded.category_index(row.category) for row in rows.rows]]
    kept = np.flatnonzero(agreed.sum(1) >= np.maximum(1, least_share * members.sum(1)))
    if not len(kept):
        raise UserError(
            f"no photo of {len(rows.rows)} has {100 * least_share:g} % of its points agreed on; raise --tolerance, or lower "
            "--least_score"
        )
    content["figures"] = {
        "photos": len(rows.rows),
        "kept": len(kept),
        "points given": float(agreed[kept].sum() / members[kept].sum()),
        "kept by category": _by_category(rows, kept, loaded),
    }
    chosen = rows.take(kept)
    write_pseudo_points(out, chosen.rows, xy[kept], agreed[kept], chosen.sizes_wh, loaded)
    save_png(out / "look.png", _sheet(chosen, xy[kept], agreed[kept], loaded))
    write_json(record, content)
    remove_shards(shards)
    shown = content["figures"]
    print(f"{out}: {shown['kept']} of {shown['photos']} photos, {100 * shown['points given']:.0f} % of their points")


def _one_a_photo(rows: RowSet) -> RowSet:
    """Return the first garment of each photo."""
    return rows.take([i for i, row in enumerate(rows.rows) if row.instance == 0])


def _agreed(
    rows: RowSet, found: Sequence[Keypoints], schema: Schema, least_score: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return points (N, K, 2), and which of them (N, K) are of the row's category and sure enough."""
    xy, score = np.stack([one.xy for one in found]), np.stack([one.score for one in found])
    has = schema.mask.numpy()[[schema.category_index(row.category) for row in rows.rows]]
    return xy, has & (score > 0) & (score >= least_score)


def _by_category(rows: RowSet, kept: np.ndarray, schema: Schema) -> dict[str, float]:
    """Return the share of each category's photos that is kept."""
    category = np.array([row.category for row in rows.rows])
    chosen = np.isin(np.arange(len(category)), kept)
    return {name: float(chosen[category == name].mean()) for name in schema.categories if (category == name).any()}


def _sheet(rows: RowSet, xy: np.ndarray, given: np.ndarray, schema: Schema) -> Any:
    """Draw some of the photos with their boxes and given points."""
    tiles = []
    for i in np.linspace(0, len(rows.rows) - 1, min(SHOWN, len(rows.rows))).round().astype(int):
        row: Any = rows.rows[i]
        picture, scale = drawable(row.path)
        unit = max(picture.size) / 240
        draw_box(picture, row.box * scale, (255, 190, 0), width=max(1, round(unit)))
        draw_points(picture, xy[i] * scale, given[i], schema, radius=2.5 * unit)
        has = int(schema.mask[schema.category_index(row.category)].sum())
        tiles.append((picture, (row.category, f"{given[i].sum()} of {has} points")))
    return contact_sheet(tiles, 6)
