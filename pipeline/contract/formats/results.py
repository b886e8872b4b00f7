"""What was found in photos, in the formats that others read: a CSV of garments, COCO keypoint results, YOLO-pose labels.

Results come one by one, and files are written so: neither grows with the number of photos.
"""

import csv
import json
import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import yaml
from garment_keypoints.pipeline.contract.garment_values import plain, row
from garment_keypoints.pipeline.contract.garments import Garment, PhotoResult
from garment_keypoints.pipeline.contract.outputs import COCO, header
from garment_keypoints.pipeline.contract.schema import Schema

GARMENTS, COCO_RESULTS, COCO_IMAGES, YOLO = "garments.csv", "coco_results.json", "coco_images.json", "data.yaml"


def write_tables(folder: Path, results: Iterable[PhotoResult], schema: Schema) -> None:
    """Write GARMENTS, COCO_RESULTS and COCO_IMAGES into the folder, in one pass over the results; what was not read is left out.

    Each is whole or as it was before.
    """
    names = (GARMENTS, COCO_RESULTS, COCO_IMAGES)
    with ExitStack() as stack:
        table, found, images = (
            # A file's name may be no text at all; it comes out as it came in.
            stack.enter_context(
                (folder / f"{name}.partial").open("w", encoding="utf-8", errors="surrogateescape", newline="")
            )
            for name in names
        )
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(["photo", *header(schema)])
        found_list, image_list = _JsonList(found, "["), _JsonList(images, '{"images": [')
        for number, result in enumerate((one for one in results if not one.error), 1):
            width, height = result.size_wh
            image_list.add({"id": number, "file_name": result.photo, "width": width, "height": height})
            for garment in result.garments:
                rows.writerow([result.photo, *row(garment, schema)])
                found_list.add(coco_result(number, garment, schema))
        found_list.end("]\n")
        image_list.end(f'], "categories": {json.dumps(coco_categories(schema))}}}\n')
    for name in names:
        os.replace(folder / f"{name}.partial", folder / name)


def coco_result(image_id: int, garment: Garment, schema: Schema) -> dict[str, Any]:
    """Return a garment as COCO's keypoint results have it: category ids from 1, boxes xywh, absent points 0, 0, 0.

    What has no field there, such as columns of your own (contract/outputs.py), is in `attributes`.
    """
    x0, y0, x1, y1 = (round(float(value), 2) for value in garment.box)
    attributes = plain(garment, schema, COCO)
    triplets = np.nan_to_num(np.concatenate([garment.xy, garment.point_score[:, None]], 1))
    return {
        "image_id": image_id,
        "category_id": schema.category_index(garment.category) + 1,
        "keypoints": [round(float(value), 4) for value in triplets.ravel()],
        "score": round(garment.score, 4),
        "bbox": [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)],
        **({"attributes": attributes} if attributes else {}),
    }


def coco_categories(schema: Schema) -> list[dict[str, Any]]:
    """Return the categories as COCO has them; each lists all keypoints, of which it has its own."""
    names = list(schema.keypoints)
    return [
        {"id": number, "name": name, "supercategory": "garment", "keypoints": names, "skeleton": []}
        for number, name in enumerate(schema.categories, 1)
    ]


def yolo_labels(result: PhotoResult, schema: Schema) -> str:
    """Return the garments of a photo as YOLO-pose has them, a line each: class, box as centre and size, then x y v a keypoint.

    All as fractions of the photo; v is 2, or 0 (with 0 0) of a keypoint that the category does not have.
    """
    size = np.array(result.size_wh, dtype=float)
    lines = []
    for garment in result.garments:
        low, high = garment.box[:2] / size, garment.box[2:] / size
        has = np.isfinite(garment.point_score)
        points = np.where(has[:, None], (garment.xy / size).clip(0, 1), 0)
        numbers = [*(low + high) / 2, *(high - low)]
        words = [f"{value:.6f}" for value in numbers]
        words += [f"{x:.6f} {y:.6f} {2 * int(seen)}" for (x, y), seen in zip(points, has, strict=True)]
        lines.append(" ".join([str(schema.category_index(garment.category)), *words]) + "\n")
    return "".join(lines)


def yolo_data(schema: Schema) -> str:
    """Return the data.yaml that goes with the labels."""
    names = dict(enumerate(schema.categories))
    content = {"kpt_shape": [len(schema.keypoints), 3], "flip_idx": list(schema.flip_index), "names": names}
    return yaml.safe_dump(content | {"kpt_names": list(schema.keypoints)}, sort_keys=False, default_flow_style=None)


class _JsonList:
    """A JSON list that is written element by element."""

    def __init__(self, file: TextIO, start: str) -> None:
        self.file, self.separator = file, "\n"
        file.write(start)

    def add(self, element: dict[str, Any]) -> None:
        self.file.write(self.separator + json.dumps(element))
        self.separator = ",\n"

    def end(self, text: str) -> None:
        self.file.write("\n" + text)
