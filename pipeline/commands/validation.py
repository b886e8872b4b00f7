"""The score on `val`: both stages over the fold that a keypoint network has not seen, to choose settings by."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline import assemble
from pipeline.assemble import Settings
from pipeline.contract.files import file_hash
from pipeline.contract.formats.submission import write_submission
from pipeline.contract.records import Annotation, Detection
from pipeline.contract.schema import Schema
from pipeline.data.select import fingerprint
from pipeline.data.survey import image_sizes
from pipeline.inference.box_sources import GivenBoxes
from pipeline.inference.predict import Device, predict
from pipeline.inference.shards import remove_shards
from pipeline.reporting.scores import score, score_figures, score_lines

VAL_FOLD = 0


def score_on_val(
    rows: Sequence[Annotation], boxes: Sequence[Detection], schema: Schema, settings: Settings, checkpoint: Path
) -> dict[str, Any]:
    """Return the figures of a network that was trained without fold 0 on the rows of that fold, by where crops come from.

    The boxes out of fold are what a detector gives on a picture it has not seen; the true ones, the answers' extents with
    the detector's margin, show what the boxes cost. Predictions are kept beside the checkpoint, as submission files.
    """
    by_key = {box.key: box for box in boxes}
    held_out = [row for row in rows if by_key[row.key].fold == VAL_FOLD]
    extents, sizes = assemble.true_extents(held_out), torch.tensor(image_sizes(held_out))
    sources = {
        "out_of_fold_boxes": torch.tensor(np.stack([by_key[row.key].box for row in held_out]), dtype=torch.float32),
        "true_boxes": assemble.target_boxes(extents, sizes, settings.detector.margin).float(),
    }
    locator = assemble.load_locator(checkpoint, schema)
    device = Device.of(settings.keypoints.train)
    figures = {}
    for name, given in sources.items():
        out = checkpoint.with_suffix("") / f"{name}.csv"
        job = {"keypoints": file_hash(checkpoint), "rows": fingerprint(held_out), "boxes": given.tolist()}
        result = predict(held_out, GivenBoxes(given), locator, schema, device, out.with_suffix(".parts"), job)
        if result is None:  # a process of another rank
            continue
        write_submission(out, held_out, np.stack([p.xy for p in result.keypoints]), result.sizes_wh, schema)
        remove_shards(out.with_suffix(".parts"))
        scored = score(out, held_out, schema)
        figures[name] = {"images": len(held_out), **score_figures(scored, "default")}
        print(f"val, {name.replace('_', ' ')}")
        print("\n".join(score_lines(scored, "default")))
    return figures
