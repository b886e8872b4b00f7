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
from pipeline.contract.records import Detection
from pipeline.contract.schema import Schema
from pipeline.data.select import TrainingSet
from pipeline.inference.box_sources import GivenBoxes
from pipeline.inference.predict import Device, predict
from pipeline.inference.shards import remove_shards
from pipeline.reporting.scores import score, score_figures, score_lines

VAL_FOLD = 0


def score_on_val(
    training_set: TrainingSet, boxes: Sequence[Detection], schema: Schema, settings: Settings, checkpoint: Path
) -> dict[str, Any]:
    """Return the figures of a network that was trained without fold 0 on the rows of that fold, by where crops come from.

    The boxes out of fold are what a detector gives on a picture it has not seen; the true ones, the answers' extents with
    the detector's margin, show what the boxes cost. A network of whole images gets those, which `boxes` hold then.
    Predictions are kept beside the checkpoint, as submission files.
    """
    by_key = {box.key: box for box in boxes}
    chosen = training_set.take([i for i, row in enumerate(training_set.rows) if by_key[row.key].fold == VAL_FOLD])
    held_out, sizes_wh = chosen.rows, chosen.sizes_wh
    extents, sizes = assemble.true_extents(held_out), torch.tensor(sizes_wh)
    locator = assemble.load_locator(checkpoint, schema)
    given = torch.tensor(np.stack([by_key[row.key].box for row in held_out]), dtype=torch.float32)
    if locator.source == "image":
        sources = {"whole_images": given}
    else:
        true = assemble.target_boxes(extents, sizes, settings.detector.margin).float()
        sources = {"out_of_fold_boxes": given, "true_boxes": true}
    device = Device.of(settings.keypoints.train)
    figures = {}
    for name, given in sources.items():
        out = checkpoint.with_suffix("") / f"{name}.csv"
        job = {"keypoints": file_hash(checkpoint), "rows": chosen.fingerprint, "boxes": given.tolist()}
        parts, pictures = out.with_suffix(".parts"), settings.pictures
        result = predict(
            held_out, GivenBoxes(given), locator, schema, device, parts, job, sizes_wh=sizes_wh, pictures=pictures
        )
        if result is None:  # a process of another rank
            continue
        write_submission(out, held_out, np.stack([p.xy for p in result.keypoints]), result.sizes_wh, schema)
        remove_shards(parts)
        scored = score(out, held_out, schema)
        figures[name] = {"images": len(held_out), **score_figures(scored, "default")}
        print(f"val, {name.replace('_', ' ')}")
        print("\n".join(score_lines(scored, "default")))
    return figures
