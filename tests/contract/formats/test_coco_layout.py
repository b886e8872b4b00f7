"""The layout `coco`: FashionAI's sample as COCO files gives the same garments, and every wrong file is named."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.formats import coco_layout, fashionai
from garment_keypoints.pipeline.contract.formats.registry import find_layout
from garment_keypoints.pipeline.contract.records import Annotation
from garment_keypoints.pipeline.contract.schema import Schema
from PIL import Image

from tests.commands.running import run


def content_of(rows: Sequence[Annotation], schema: Schema, by_name: bool) -> dict[str, Any]:
    """Return rows as a COCO file whose categories list their own keypoints by name, or as many as the schema has."""
    own = {name: [schema.keypoints[k] for k in members] for name, members in schema.members.items()}
    names = {name: own[name] if by_name else [str(k) for k in range(24)] for name in schema.categories}
    ids = {image_id: number for number, image_id in enumerate(dict.fromkeys(row.image_id for row in rows), 7)}
    annotations = []
    for number, row in enumerate(rows, 1):
        triplets = np.concatenate([np.where(row.present[:, None], row.xy, 0), row.visibility[:, None] + 1], 1)
        kept = list(schema.members[row.category]) if by_name else range(24)
        annotations.append({
            "id": number, "image_id": ids[row.image_id], "category_id": schema.category_index(row.category) + 3,
            "keypoints": triplets[kept].ravel().tolist(), "bbox": [0, 0, 1, 1], "iscrowd": 0,
        })  # fmt: skip
    return {
        "images": [{"id": number, "file_name": image_id} for image_id, number in ids.items()],
        "annotations": annotations,
        "categories": [{"id": n, "name": name, "keypoints": names[name]} for n, name in enumerate(own, 3)],
    }


@pytest.mark.parametrize("by_name", [True, False])
def test_the_same_garments_as_by_the_csv(drawn: Path, schema: Schema, by_name: bool, tmp_path: Path) -> None:
    rows = fashionai.read_annotations([drawn / "train"], schema)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images").symlink_to(drawn / "train")
    for number, half in enumerate((rows[::2], rows[1::2])):
        (tmp_path / "annotations" / f"{number}.json").write_text(json.dumps(content_of(half, schema, by_name)))
    found = find_layout("coco").read_annotations([tmp_path], schema)
    for expected, one in zip([*rows[::2], *rows[1::2]], found, strict=True):
        assert (one.key, one.category) == (expected.key, expected.category)
        assert one.visibility.tolist() == expected.visibility.tolist()
        assert np.array_equal(one.xy[one.present], expected.xy[expected.present])
        assert one.path.samefile(expected.path)
    assert [row.key for row in coco_layout.read_test(tmp_path, schema)] == [row.key for row in found]
    assert [row.key for row in coco_layout.read_answers(tmp_path / "annotations", schema)] == [row.key for row in found]


@pytest.fixture
def folder(tmp_path: Path, schema: Schema) -> Path:
    """One picture with two skirts and a dress without points, under a name in UTF-8."""
    Image.new("RGB", (100, 80)).save(tmp_path / "é.png")
    xy, marks = np.zeros((24, 2)), np.full(24, -1, np.int8)
    skirt = list(schema.members["skirt"])
    xy[skirt], marks[skirt] = [[10, 10], [30, 10], [10, 40], [30, 40]], [1, 1, 0, 1]
    rows = [Annotation("é.png", "skirt", tmp_path / "é.png", xy + shift, marks) for shift in (0, 30)]
    rows += [Annotation("é.png", "dress", tmp_path / "é.png", xy, np.full(24, -1, np.int8))]
    write(tmp_path, content_of(rows, schema, by_name=True))
    return tmp_path


def write(folder: Path, content: dict[str, Any]) -> None:
    (folder / "annotations.json").write_text(json.dumps(content))


def changed(folder: Path, section: str, **values: Any) -> None:
    content = json.loads((folder / "annotations.json").read_text())
    content[section][0] |= values
    write(folder, content)


def test_several_garments_a_picture(folder: Path, schema: Schema, caplog: pytest.LogCaptureFixture) -> None:
    rows = coco_layout.read_annotations([folder], schema)
    assert [row.key for row in rows] == [("é.png", 0), ("é.png", 1)]
    assert "1 garments without points are left out" in caplog.text
    assert [row.key for row in coco_layout.read_test(folder, schema)] == [("é.png", 0), ("é.png", 1), ("é.png", 2)]
    assert len(coco_layout.read_answers(folder / "annotations.json", schema)) == 3


def test_crowds_are_left_out_and_the_others_keep_their_number(folder: Path, schema: Schema) -> None:
    changed(folder, "annotations", iscrowd=1)
    assert [row.key for row in coco_layout.read_annotations([folder], schema)] == [("é.png", 1)]


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("annotations", {"keypoints": [1, 2, 2]}, "annotation 1: keypoints of another number: '3'; expected 12, three"),
        (
            "annotations",
            {"keypoints": [1, 2, 3] * 4},
            "annotation 1: keypoints that are none; expected finite x, y and",
        ),
        (
            "annotations",
            {"keypoints": ["a", 2, 2] * 4},
            "annotation 1: keypoints that are none; expected finite x, y and",
        ),
        ("annotations", {"category_id": 99}, "annotation 1: category_id is none of the file's: '99'; correct it"),
        ("annotations", {"image_id": None}, "annotation 1: image_id is none of the file's: 'None'"),
        ("annotations", {"id": 2}, "annotations: an id stands twice: '2'; give each its own"),
        ("images", {"file_name": "../é.png"}, "image id that leaves the data folder: '../é.png'"),
        ("images", {"file_name": None}, "picture without a file_name: 'None'; give it one"),
        ("images", {"file_name": "b.png"}, "annotations.json: missing image: 'b.png'; expected it at"),
    ],
)
def test_what_is_wrong_is_named(
    folder: Path, section: str, values: dict[str, Any], message: str, capsys: pytest.CaptureFixture
) -> None:
    changed(folder, section, **values)
    assert run("check", "--data", folder, "--layout", "coco") == 1
    assert message in capsys.readouterr().out.replace("\n", " ")


def test_categories_and_keypoints_of_another_schema(folder: Path, capsys: pytest.CaptureFixture) -> None:
    content = json.loads((folder / "annotations.json").read_text())
    skirt = next(one for one in content["categories"] if one["name"] == "skirt")
    for values, message in (
        ({"name": "kilt"}, "unknown category: 'kilt'; expected one of blouse, outwear, dress"),
        ({"keypoints": ["tip", "rim"]}, "category skirt: unknown keypoint: 'tip'; expected names of fashionai, or 24"),
    ):
        other = [one | values if one is skirt else one for one in content["categories"]]
        write(folder, content | {"categories": other})
        assert run("check", "--data", folder, "--layout", "coco") == 1
        assert message in capsys.readouterr().out.replace("\n", " ")
    for text, message in (
        ("[]", "not a COCO file; expected an object with"),
        ("", "no COCO file; expected annotations"),
    ):
        (folder / "annotations.json").write_text(text) if text else (folder / "annotations.json").unlink()
        assert run("check", "--data", folder, "--layout", "coco") == 1
        assert message in capsys.readouterr().out.replace("\n", " ")
