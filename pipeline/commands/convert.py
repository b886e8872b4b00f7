"""Write a data set in another layout."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from garment_keypoints.pipeline.contract.faults import DataError, Fault, UserError
from garment_keypoints.pipeline.contract.files import write_bytes
from garment_keypoints.pipeline.contract.formats import coco_layout, deepfashion2, fashionai
from garment_keypoints.pipeline.contract.formats.registry import Layout, find_layout
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.records import Annotation
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.data.survey import image_sizes
from garment_keypoints.pipeline.runs.outputs import alone_at_out

Writer = Callable[[Path, Sequence[Annotation], np.ndarray, Schema], None]
WRITERS: dict[str, tuple[Writer, str]] = {
    "fashionai": (fashionai.write_annotations, "Annotations"),
    "coco": (coco_layout.write_annotations, coco_layout.ANNOTATIONS),
    "deepfashion2": (deepfashion2.write_annotations, deepfashion2.ANNOS),
}
"""By layout what writes its annotations, and what they are called below the folder."""


def convert(
    folders: Sequence[Path],
    /,
    *,
    from_: str,
    to: str,
    pictures: PictureOptions,
    schema: str = "fashionai",
) -> None:
    """Write the annotations and pictures of a folder in another layout: `convert --from LAYOUT --to LAYOUT IN OUT`.

    Garments without points are left out, and counted in a message.

    Args:
        folders: the data to read, and a new folder to write
        from_: layout of what is read: fashionai, coco, deepfashion2, or MODULE:OBJECT
        to: layout to write: fashionai (whole pixels alone), coco, or deepfashion2
        pictures: what a picture may cost
        schema: packaged schema, or a YAML file of your own
    """
    if len(folders) != 2:
        raise UserError(f"convert takes two folders, IN and OUT, and was given {len(folders)}")
    if to not in WRITERS:
        raise UserError(f"--to is {to!r}; expected one of {', '.join(WRITERS)}")
    source, out = folders
    _convert(find_layout(from_), source, to, load_schema(schema), pictures, out=out)


@alone_at_out
def _convert(layout: Layout, source: Path, to: str, schema: Schema, pictures: PictureOptions, *, out: Path) -> None:
    write, name = WRITERS[to]
    if (out / name).exists():
        raise UserError(f"{out / name} is there already; choose another OUT, or remove it")
    rows = sorted(layout.read_annotations([source], schema), key=lambda row: row.key)
    renamed = _in_layout(rows, to, schema)
    for path, picture in {one.image_id: row.path for row, one in zip(rows, renamed, strict=True)}.items():
        _copy(picture, out / path)
    write(out, renamed, image_sizes(rows, pictures), schema)  # last, so that what is there is whole
    print(f"{out}: {len(renamed)} garments in {len({one.image_id for one in renamed})} pictures")


def _in_layout(rows: Sequence[Annotation], to: str, schema: Schema) -> list[Annotation]:
    """Return the rows under the image ids that they have in the layout; raises DataError where two pictures would have one."""
    if to != "deepfashion2":
        return list(rows)
    deepfashion2.check_schema(schema)
    faults, places = [], {}
    for row in rows:
        place = f"{deepfashion2.PICTURES}/{row.path.stem}.jpg"
        if row.path.suffix != ".jpg":
            faults.append(Fault(row.csv, "a picture that is no .jpg", "DeepFashion2 has no others", value=row.image_id))
        elif places.setdefault(place, row.image_id) != row.image_id:
            faults.append(Fault(row.csv, f"{place} would be {places[place]} too", "rename one", value=row.image_id))
    if faults:
        raise DataError(faults)
    return [replace(row, image_id=f"{deepfashion2.PICTURES}/{row.path.stem}.jpg") for row in rows]


def _copy(picture: Path, place: Path) -> None:
    """Copy a picture whole or not at all; one that an interrupted call has copied stays, another one is not overwritten."""
    content = picture.read_bytes()
    if place.exists() and place.read_bytes() != content:
        raise UserError(f"{place} is there already, and is another picture; choose another OUT, or remove it")
    if not place.exists():
        write_bytes(place, content)
