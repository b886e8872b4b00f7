"""Class labels of photos: what people have when nobody has drawn boxes or points."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from garment_keypoints.pipeline.contract.faults import DataError, Fault, UserError
from garment_keypoints.pipeline.contract.formats.csv_files import has_columns, read_csv, wrong_id
from garment_keypoints.pipeline.contract.records import ImageRow
from garment_keypoints.pipeline.contract.schema import Schema

FILE, LABEL = "file", "label"
"""Columns of the CSV; it may have others."""


def read_class_labels(
    file: Path, photos: Path, names: Sequence[str], schema: Schema, further: Sequence[str] = ()
) -> tuple[list[ImageRow], Counter[str]]:
    """Return a row a photo whose label is known, and how many there are of each other label.

    `names` say what labels mean, such as Shirt=blouse; a category means itself, and so do `further` meanings. Photos lie below
    the folder `photos`.
    Raises UserError for a name that says nothing, and DataError with all faults of the file.
    """
    meanings = _meanings(names, [*schema.categories, *further])
    faults: list[Fault] = []
    frame = read_csv(file, faults)
    rows: dict[str, ImageRow] = {}
    left_out: Counter[str] = Counter()
    if frame is not None and has_columns(frame, [FILE, LABEL], file, faults, exact=False):
        for number, (name, label) in enumerate(zip(frame[FILE], frame[LABEL], strict=True), start=2):
            wrong = wrong_id(name)
            if wrong or name in rows:
                problem, remedy = wrong or ("photo that stands twice", "keep one of the rows")
                faults.append(Fault(str(file), problem, remedy, number, FILE, name))
            elif label in meanings:
                rows[name] = ImageRow(name, meanings[label], photos / name, csv=str(file), csv_row=number)
            else:
                left_out[label] += 1
    if not faults and not rows:
        faults.append(Fault(str(file), "no label that is a category", "say what labels mean: --names Shirt=blouse"))
    if faults:
        raise DataError(faults)
    return list(rows.values()), left_out


def _meanings(names: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """Return the meaning of each label; what is known is a label of its own."""
    meanings = {name: name for name in known}
    for one in names:
        label, equals, category = one.partition("=")
        if not (label and equals and category in known):
            expected = f"LABEL=CATEGORY, with one of {', '.join(known)}"
            raise UserError(f"--names has {one!r}; expected {expected}")
        meanings[label] = category
    return meanings
