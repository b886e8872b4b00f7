"""What layouts whose files hold every garment of a picture have in common."""

import logging
from collections.abc import Iterable

from garment_keypoints.pipeline.contract.faults import Fault
from garment_keypoints.pipeline.contract.records import Annotation, ImageRow, Key

log = logging.getLogger("garment_keypoints")


def to_train(rows: Iterable[Annotation], faults: list[Fault]) -> list[Annotation]:
    """Return the garments that have points and a picture, each once; those without points are counted in a message.

    A picture that is missing, or that two files have, becomes a fault.
    """
    kept: dict[Key, Annotation] = {}
    without = 0
    for row in rows:
        if row.key in kept:
            problem = f"a picture that {kept[row.key].csv} has too"
            faults.append(Fault(row.csv, problem, "name it in one file, or rename one picture", value=row.named))
        elif not row.present.any():
            without += 1
        elif not row.path.is_file():
            faults.append(Fault(row.csv, "missing image", f"expected it at {row.path}", value=row.image_id))
        else:
            kept[row.key] = row
    if without:
        log.warning("%d garments without points are left out", without)
    return list(kept.values())


def to_predict(rows: Iterable[Annotation]) -> list[ImageRow]:
    """Return the rows without their answers."""
    return [ImageRow(one.image_id, one.category, one.path, instance=one.instance, csv=one.csv) for one in rows]
