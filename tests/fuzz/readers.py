"""Every reader of what a user hands in, with valid files to start from and what a right result is."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from garment_keypoints.pipeline.cli import arguments
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import write_text
from garment_keypoints.pipeline.contract.formats.boxes import read_boxes, write_boxes
from garment_keypoints.pipeline.contract.formats.csv_files import wrong_id
from garment_keypoints.pipeline.contract.formats.fashionai import read_annotations, read_answers, read_test
from garment_keypoints.pipeline.contract.formats.submission import read_submission
from garment_keypoints.pipeline.contract.images import read_image
from garment_keypoints.pipeline.contract.records import BoxRow, ImageRow
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.data.fold_file import FoldAssignment, read_assignment, write_assignment
from garment_keypoints.pipeline.data.survey import survey
from garment_keypoints.pipeline.engine.shards import FORMAT, JOB, ShardWriter, open_shards
from garment_keypoints.pipeline.lab.ablation.definition import read_ablation
from garment_keypoints.pipeline.settings import Settings
from hypothesis import strategies as st
from PIL import Image

from tests.fuzz import datasets, networks, photos
from tests.fuzz.mutations import bytes_like, text_like

ROOT = Path(__file__).parents[2]
IDS = ("Images/skirt/a.jpg", "Images/dress/b.jpg", "Images/dress/c d.jpg")
CATEGORIES = ("skirt", "dress", "dress")
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
SCHEMA = load_schema()


@dataclass(frozen=True)
class Reader:
    """`read` takes the file `name` below a folder; it raises UserError, or checks its own result by assertions."""

    name: str
    files: st.SearchStrategy[bytes]
    read: Callable[[Path], None]


def prepare(folder: Path) -> None:
    """Lay the pictures into the folder that the CSVs speak of."""
    for image_id in IDS:
        (folder / image_id).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64)).save(folder / image_id)


def _rows(folder: Path) -> list[ImageRow]:
    return [ImageRow(*one, folder / one[0]) for one in zip(IDS, CATEGORIES, strict=True)]


def _dealt(folder: Path) -> bytes:
    prepare(folder)
    found = survey(_rows(folder))
    write_assignment(
        folder / "folds.csv", _rows(folder), FoldAssignment(np.array([0, 1, 0]), found.sizes_wh, found.digests)
    )
    return (folder / "folds.csv").read_bytes()


JOB_OF = {"rows": "a", "size": 64}


def _shard(folder: Path) -> bytes:
    index = torch.arange(len(IDS))
    prediction = {"index": index, "size_wh": torch.full((len(IDS), 2), 64), "regions": {}, "found": {}}
    trainer = SimpleNamespace(global_rank=0)
    ShardWriter(folder, _rows(folder)).write_on_batch_end(trainer, None, prediction)  # type: ignore[arg-type]
    content = (folder / "rank0.jsonl").read_bytes()
    (folder / "rank0.jsonl").unlink()
    return content


def _continue(file: Path) -> None:
    write_text(file.parent / JOB, json.dumps({"format": FORMAT} | JOB_OF))
    assert open_shards(file.parent, JOB_OF) <= {(image_id, 0) for image_id in IDS}


def _other_job(file: Path) -> None:
    assert open_shards(file.parent, JOB_OF) == set()
    assert json.loads(file.read_bytes()) == {"format": FORMAT} | JOB_OF


def _table(*columns: Sequence[str]) -> bytes:
    return "".join(",".join(row) + "\n" for row in zip(*columns, strict=True)).encode()


def _points() -> list[list[str]]:
    return [[name, *(f"{k}_{2 * k}_{k % 2}" for _ in IDS)] for k, name in enumerate(SCHEMA.keypoints)]


PLACES = [["image_id", *IDS], ["image_category", *CATEGORIES]]
ROWS = _table(*PLACES, *_points())


def _boxes(folder: Path) -> bytes:
    made = [
        BoxRow(i, c, np.array([1.5, 2, 30, 40]), 0.75, "detector", k % 2, f"fold{k}", False)
        for k, (i, c) in enumerate(zip(IDS, CATEGORIES, strict=True))
    ]
    write_boxes(folder / "seed.csv", made)
    return (folder / "seed.csv").read_bytes()


def _check_rows(rows: Sequence[Any]) -> None:
    assert rows
    assert len({row.image_id for row in rows}) == len(rows)
    assert all(wrong_id(row.image_id) is None and row.category in SCHEMA.categories for row in rows)


def _annotations(file: Path) -> None:
    _check_rows(rows := read_annotations([file.parent.parent], SCHEMA))
    assert all(np.isfinite(row.xy).all() and row.present.any() and row.path.is_file() for row in rows)


def _submission(file: Path) -> None:
    read = read_submission(file, SCHEMA)
    assert all(np.isfinite(one.xy).all() and wrong_id(image_id) is None for (image_id, _), one in read.items())


def _read_boxes(file: Path) -> None:
    boxes = read_boxes(file, SCHEMA)
    assert len({box.key for box in boxes}) == len(boxes)
    write_boxes(file, boxes)


def _schema(file: Path) -> None:
    schema = load_schema(file)
    assert Schema.from_dict(schema.to_dict()) == schema
    assert sorted(schema.flip_index) == list(range(len(schema.keypoints)))


def accept(settings: Settings, data: Sequence[Path] = (), run: Path = Path(), limit: int = 0) -> bool:
    """Take the options of a training and do nothing.

    Args:
        settings: both stages
        data: roots
        run: folder
        limit: images
    """
    return isinstance(settings, Settings)


def _preset(file: Path) -> None:
    """A setting out of range is named, not its file."""
    try:
        assert arguments.call("accept", f"{__name__}:accept", ["--config", str(file)])
    except UserError as error:
        if file.name not in str(error) and not any(
            f"{group}." in str(error) for group in ("detector", "keypoints", "train")
        ):
            raise AssertionError(f"names neither file nor setting: {error}") from error


def _picture(file: Path) -> None:
    image = read_image(file).pixels
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert min(image.shape) > 0


def _pictures() -> dict[str, bytes]:
    """Draw one picture a format, with EXIF orientation where it is kept."""
    pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    drawn = {}
    for name in FORMATS:
        Image.fromarray(pixels).save(file := io.BytesIO(), name, **({} if name in ("BMP", "GIF") else {"exif": exif}))
        drawn[name] = file.getvalue()
    return drawn


def readers(folder: Path) -> dict[str, Reader]:
    """Return the readers by name; `folder` is for making valid files."""
    noise = st.binary(max_size=200)
    texts: dict[str, tuple[str, list[bytes], Callable[[Path], None]]] = {
        "annotations": ("Annotations/train.csv", [ROWS], _annotations),
        "test.csv": ("test.csv", [_table(*PLACES)], lambda file: _check_rows(read_test(file.parent, SCHEMA))),
        "answers": ("answer.csv", [ROWS], lambda file: _check_rows(read_answers(file, SCHEMA))),
        "submission": ("s.csv", [ROWS], _submission),
        "boxes": ("boxes.csv", [_boxes(folder)], _read_boxes),
        "folds": ("folds.csv", [_dealt(folder)], lambda file: read_assignment(file, _rows(file.parent), 2)),
        "shard": ("parts/rank0.jsonl", [_shard(folder)], _continue),
        "job": ("of_job/job.json", [json.dumps({"format": FORMAT} | JOB_OF).encode()], _other_job),
        "schema": (
            "schema.yaml",
            [(ROOT / "pipeline/contract/schemas/fashionai.yaml").read_bytes(), OWN_SCHEMA],
            _schema,
        ),
        "preset": ("preset.yaml", [file.read_bytes() for file in (ROOT / "configs").glob("*.yaml")], _preset),
        "ablation": (
            "ablation.yaml",
            [_ablation(name) for name in ("keypoints", "detector")],
            lambda file: read_ablation(file, Settings),
        ),
    }
    found = {name: Reader(file, text_like(seeds) | noise, read) for name, (file, seeds, read) in texts.items()}
    for part in (datasets, networks, photos):
        found |= {name: Reader(*one) for name, one in part.files(folder, SCHEMA, noise).items()}
    for name, content in _pictures().items():
        found[name] = Reader(f"x.{name.lower()}", bytes_like([content]), _picture)
    return found


def _ablation(name: str) -> bytes:
    """Return an ablation of the project that lies anywhere."""
    text = (ROOT / "pipeline" / "lab" / "configs" / "ablations" / f"{name}.yaml").read_text(encoding="utf-8")
    return text.replace("../../../../configs/cpu.yaml", str(ROOT / "configs" / "cpu.yaml")).encode()


OWN_SCHEMA = b"""name: accessories
keypoints: [strap_left, strap_right, base, tip, rim]
categories: {bag: [strap_left, strap_right, base], hat: [tip, rim]}
reference: {bag: [strap_left, strap_right]}
pairs: [[strap_left, strap_right]]
"""
