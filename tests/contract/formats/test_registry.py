"""Another layout of a dataset is one object and one line of the registry."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.cli.run import main
from garment_keypoints.pipeline.contract.faults import Fault
from garment_keypoints.pipeline.contract.formats.registry import LAYOUTS, find_layout
from garment_keypoints.pipeline.contract.images import read_image
from garment_keypoints.pipeline.contract.records import Annotation, ImageRow
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.check import check_dataset
from garment_keypoints.pipeline.data.select import load_test_rows, load_training_set
from PIL import Image


class Folders:
    """Every PNG of a folder is a skirt whose waistband is as wide as the picture."""

    def read_annotations(
        self, roots: Sequence[Path], schema: Schema, faults: list[Fault] | None = None
    ) -> list[Annotation]:
        return [self._annotate(file, schema) for root in roots for file in sorted(root.glob("*.png"))]

    def read_test(self, folder: Path, schema: Schema, faults: list[Fault] | None = None) -> list[ImageRow]:
        return [ImageRow(file.name, "skirt", file) for file in sorted(folder.glob("*.png"))]

    def read_answers(self, file: Path, schema: Schema) -> list[Annotation]:
        return self.read_annotations([file.parent], schema)

    def _annotate(self, file: Path, schema: Schema) -> Annotation:
        xy, visibility = np.zeros((len(schema.keypoints), 2)), np.full(len(schema.keypoints), -1, dtype=np.int8)
        for name, x in (("waistband_left", 0), ("waistband_right", read_image(file).size_wh[0])):
            xy[schema.keypoints.index(name)], visibility[schema.keypoints.index(name)] = (x, 5), 1
        return Annotation(file.name, "skirt", file, xy, visibility)


def test_a_layout_is_added_by_one_line(tmp_path: Path, schema: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAYOUTS, "folders", Folders())
    rng = np.random.default_rng(0)
    for name in "abcdefgh":
        picture = rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(picture).resize((90, 60)).save(tmp_path / f"{name}.png")
    found = load_training_set([tmp_path], schema, 2, tmp_path / "run", layout="folders")
    assert [row.image_id for row in found.rows] == [f"{name}.png" for name in "abcdefgh"]
    assert set(found.folds.tolist()) == {0, 1}
    assert len(load_test_rows(tmp_path, schema, layout="folders").rows) == 8
    lines, faults = check_dataset([], tmp_path, tmp_path / "answers", schema, layout="folders")
    assert not faults
    assert lines[-1].endswith("8 answers")
    assert main(["check", "--data", str(tmp_path), "--layout", "folders"]) == 0
    _, faults = check_dataset([tmp_path], tmp_path, None, schema, layout="folders")
    assert len(faults) == 8
    assert str(faults[0]).startswith("a.png, column image_id: test picture that is a training picture too")


def test_a_layout_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="layout is 'voc'; expected one of fashionai, coco, deepfashion2"):
        find_layout("voc")
