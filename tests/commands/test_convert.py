"""Data sets in another layout: what both layouts can say comes back, and what cannot be written is named."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.formats import coco_layout, deepfashion2, fashionai
from garment_keypoints.pipeline.contract.records import Annotation
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.commands.running import run

LANDMARKS = load_schema("deepfashion2")


def convert(source: Path, out: Path, first: str, second: str, *options: object) -> int:
    return run("convert", "--from", first, "--to", second, source, out, *options)


def alike(rows: Sequence[Annotation], others: Sequence[Annotation]) -> None:
    for row, other in zip(rows, others, strict=True):
        assert (row.key, row.category) == (other.key, other.category)
        assert np.array_equal(row.visibility, other.visibility)
        assert np.array_equal(row.xy[row.present], other.xy[row.present])


def test_there_and_back(drawn: Path, schema: Schema, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert convert(drawn / "train", tmp_path / "coco", "fashionai", "coco") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'coco'}: 20 garments in 20 pictures\n"
    assert run("check", "--data", tmp_path / "coco", "--layout", "coco") == 0
    assert convert(tmp_path / "coco", tmp_path / "back", "coco", "fashionai") == 0
    rows = sorted(fashionai.read_annotations([drawn / "train"], schema), key=lambda row: row.key)
    back = fashionai.read_annotations([tmp_path / "back"], schema)
    alike(rows, back)
    assert all(row.path.read_bytes() == one.path.read_bytes() for row, one in zip(rows, back, strict=True))


@st.composite
def garments(draw: st.DrawFn) -> list[Annotation]:
    """Pictures of one to three garments, each with a point or more; coordinates of two decimals, also outside the picture."""
    rows = []
    for picture in range(draw(st.integers(1, 3))):
        for instance in range(draw(st.integers(1, 3))):
            category = draw(st.sampled_from(LANDMARKS.categories))
            own = list(LANDMARKS.members[category])
            marks = draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=len(own), max_size=len(own)))
            marks[draw(st.integers(0, len(own) - 1))] = 1
            numbers = st.integers(-5_000, 200_000).map(lambda n: n / 100)
            xy, visibility = np.zeros((294, 2)), np.full(294, -1, np.int8)
            xy[own] = np.array([[draw(numbers), draw(numbers)]]) + np.arange(len(own))[:, None]
            visibility[own] = marks
            path = Path(f"image/{picture:06d}.jpg")
            rows.append(Annotation(str(path), category, path, xy, visibility, instance=instance))
    return rows


@settings(max_examples=25, deadline=None)
@given(garments())
def test_any_garments_come_back(tmp_path_factory: pytest.TempPathFactory, rows: list[Annotation]) -> None:
    folder, sizes = tmp_path_factory.mktemp("data"), np.full((len(rows), 2), 2000)
    deepfashion2.write_annotations(folder, rows, sizes, LANDMARKS)
    found = deepfashion2.read_answers(folder / "annos", LANDMARKS)
    alike(rows, found)
    coco_layout.write_annotations(folder, found, sizes, LANDMARKS)
    alike(rows, coco_layout.read_answers(folder / "annotations.json", LANDMARKS))
    whole = [Annotation(r.image_id, r.category, r.path, np.rint(r.xy), r.visibility, instance=r.instance) for r in rows]
    fashionai.write_annotations(folder, rows, sizes, LANDMARKS)
    alike(whole, fashionai.read_answers(folder / "Annotations" / "annotations.csv", LANDMARKS))


def test_what_cannot_be_written(drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = tmp_path / "data"
    shutil.copytree(drawn / "train", data)
    assert convert(data, tmp_path / "out", "fashionai", "yolo") == 1
    assert "--to is 'yolo'; expected one of fashionai, coco, deepfashion2" in capsys.readouterr().err
    assert convert(data, tmp_path / "out", "coc", "coco") == 1
    assert "layout is 'coc'; expected one of fashionai, coco, deepfashion2" in capsys.readouterr().err
    assert run("convert", "--from", "fashionai", "--to", "coco", data) == 1
    assert "convert takes two folders, IN and OUT, and was given 1" in capsys.readouterr().err
    assert convert(data, data, "fashionai", "fashionai") == 1
    assert f"{data / 'Annotations'} is there already; choose another OUT" in capsys.readouterr().err
    assert convert(data, tmp_path / "out", "fashionai", "deepfashion2") == 1
    assert "layout deepfashion2 has 294 landmarks, schema fashionai has 24" in capsys.readouterr().err
    image = next((data / "Images").rglob("*.jpg")).relative_to(data)
    (tmp_path / "other" / image).parent.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "other" / image)
    assert convert(data, tmp_path / "other", "fashionai", "coco") == 1
    assert f"{tmp_path / 'other' / image} is there already, and is another picture" in capsys.readouterr().err
    assert not (tmp_path / "other" / "annotations.json").exists()
