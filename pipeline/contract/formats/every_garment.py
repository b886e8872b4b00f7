"""all_garments.json: every garment of each picture, with or without a label, as the sample writes it beside its annotations."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import json_object
from garment_keypoints.pipeline.contract.records import EveryGarment
from garment_keypoints.pipeline.contract.schema import Schema

NAME = "all_garments.json"
EXPECTED = "expected a list of garments by picture, each with category, labelled, and box [x0, y0, x1, y1]"


def read_every_garment(roots: Sequence[Path], schema: Schema) -> dict[str, list[EveryGarment]]:
    """Read what lies in the train roots' Annotations, by image id; empty unless every root has it.

    Raises UserError for a file that is damaged.
    """
    files = [root / "Annotations" / NAME for root in roots]
    if not all(file.is_file() for file in files):
        return {}
    every: dict[str, list[EveryGarment]] = {}
    for file in files:
        content = json_object(file)
        if content is None:
            raise UserError(f"{file}: {EXPECTED}")
        for image_id, garments in content.items():
            try:
                every[image_id] = [_read(one, schema) for one in garments]
            except (KeyError, TypeError, ValueError):
                raise UserError(f"{file}: {image_id}: {garments!r:.200}; {EXPECTED}") from None
    return every


def _read(one: dict, schema: Schema) -> EveryGarment:
    schema.category_index(one["category"])
    box = np.array(one["box"], dtype=float)
    if box.shape != (4,) or not np.isfinite(box).all():
        raise ValueError(box)
    return EveryGarment(one["category"], box, bool(one["labelled"]))
