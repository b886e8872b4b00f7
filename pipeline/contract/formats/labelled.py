"""What layouts whose files hold every garment of a picture have in common."""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from garment_keypoints.pipeline.contract.faults import DataError, Fault
from garment_keypoints.pipeline.contract.records import Annotation, ImageRow, Key
from garment_keypoints.pipeline.contract.schema import Schema

Reader = Callable[[Path, Schema, list[Fault]], Iterable[Annotation]]
"""What reads all garments of a folder, and adds what is wrong to the faults."""

log = logging.getLogger("garment_keypoints")


def rows_to_train(read: Reader, roots: Sequence[Path], schema: Schema, faults: list[Fault] | None) -> list[Annotation]:
    """Return the garments of all folders as `Layout.read_annotations` does."""
    found = [] if faults is None else faults
    rows = _to_train((row for root in roots for row in read(Path(root), schema, found)), found)
    if faults is None and found:
        raise DataError(found)
    return rows


def rows_to_predict(read: Reader, folder: Path, schema: Schema, faults: list[Fault] | None) -> list[ImageRow]:
    """Return the garments of a folder without their answers, as `Layout.read_test` does."""
    found = [] if faults is None else faults
    rows = list(read(Path(folder), schema, found))
    if faults is None and found:
        raise DataError(found)
    return [ImageRow(one.image_id, one.category, one.path, instance=one.instance, csv=one.csv) for one in rows]


def _to_train(rows: Iterable[Annotation], faults: list[Fault]) -> list[Annotation]:
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
