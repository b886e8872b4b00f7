"""Boxes out of fold: every training row gets the box of a detector that had not seen its image."""

from collections.abc import Sequence

from garment_keypoints.detector.inference import NetworkDetector
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.records import ImageRow

Found = dict[str, list]
"""Everything found in one image: boxes, scores, category."""


def refuse_seen(rows: Sequence[ImageRow], detector: NetworkDetector, fold: int) -> None:
    """Raise UserError when the detector was trained on any of the rows that it should predict as fold `fold`."""
    known = train_ids(detector)
    seen = [row.image_id for row in rows if row.image_id in known]
    if seen:
        raise UserError(
            f"checkpoint {detector.name} saw {len(seen)} of the {len(rows)} images of fold {fold} in training, first "
            f"{seen[0]}; their boxes would be too good to train on. Use the checkpoint that left fold {fold} out"
        )


def train_ids(detector: NetworkDetector) -> frozenset[str]:
    """Return the images that the detector has seen; raise UserError when it was loaded without them."""
    if detector.train_ids is None:
        raise UserError(f"checkpoint {detector.name} was loaded without its training ids; load it with_ids=True")
    return detector.train_ids
