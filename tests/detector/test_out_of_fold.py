"""Out of fold: no detector predicts what it has seen, and finished folds are kept."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from garment_keypoints.detector.inference import NetworkDetector
from garment_keypoints.pipeline.contract.formats.fashionai import read_annotations
from garment_keypoints.pipeline.contract.records import ImageRow
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.select import RowSet
from garment_keypoints.pipeline.data.survey import survey
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.fold_boxes import predict_fold
from torch import Tensor

from tests.configs import detector_config

CPU = Device(workers=0, accelerator="cpu", devices="1")
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning")


class Whole(torch.nn.Module):
    """Finds the whole input as every category, and counts how often it was asked."""

    size = 64
    asked = 0

    def detections(self, inputs: Tensor) -> list[dict[str, Tensor]]:
        self.asked += len(inputs)
        box = torch.tensor([[0.0, 0, 64, 64]]).expand(5, 4)
        return [{"boxes": box, "scores": torch.full((5,), 0.5), "category": torch.arange(5)} for _ in inputs]


def rows(drawn: Path, schema: Schema) -> list[ImageRow]:
    return list(read_annotations([drawn / "train"], schema))


def row_set(rows: list[ImageRow]) -> RowSet:
    found = survey(rows)
    return RowSet(rows=rows, sizes_wh=found.sizes_wh, digests=found.digests)


def test_swapped_checkpoints_are_refused(drawn: Path, tmp_path: Path, schema: Schema) -> None:
    every = rows(drawn, schema)
    fold0, fold1 = every[:10], every[10:]
    trained_without_0 = NetworkDetector(Whole(), detector_config(), "fold0", [row.image_id for row in fold1])
    chosen = predict_fold(row_set(fold0), trained_without_0, 0, schema, CPU, tmp_path / "0").boxes
    assert [c.image_id for c in chosen] == [row.image_id for row in fold0]
    assert {(c.fold, c.checkpoint, c.source) for c in chosen} == {(0, "fold0", "detector")}
    with pytest.raises(
        ValueError, match=f"checkpoint fold0 saw 10 of the 10 images of fold 1 in training, first {fold1[0].image_id}"
    ):
        predict_fold(row_set(fold1), trained_without_0, 1, schema, CPU, tmp_path / "1")


def test_one_seen_image_is_enough_to_refuse(drawn: Path, tmp_path: Path, schema: Schema) -> None:
    every = rows(drawn, schema)
    detector = NetworkDetector(Whole(), detector_config(), "fold0", [every[3].image_id])
    with pytest.raises(ValueError, match="saw 1 of the 10"):
        predict_fold(row_set(every[:10]), detector, 0, schema, CPU, tmp_path / "0")


def test_a_finished_fold_is_kept_and_another_checkpoint_is_not(drawn: Path, tmp_path: Path, schema: Schema) -> None:
    every, network = rows(drawn, schema)[:6], Whole()
    first = predict_fold(
        row_set(every), NetworkDetector(network, detector_config(), "a", []), 0, schema, CPU, tmp_path / "s"
    )
    again = predict_fold(
        row_set(every), NetworkDetector(network, detector_config(), "a", []), 0, schema, CPU, tmp_path / "s"
    )
    assert network.asked == 6
    assert [d.box.tolist() for d in first.boxes] == [d.box.tolist() for d in again.boxes]
    predict_fold(row_set(every), NetworkDetector(network, detector_config(), "b", []), 0, schema, CPU, tmp_path / "s")
    assert network.asked == 12


class Layered(Whole):
    """Tells in which precision its layer ran."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 2, 3)
        self.ran_in: set[torch.dtype] = set()

    def detections(self, inputs: Tensor) -> list[dict[str, Tensor]]:
        self.ran_in.add(self.layer(inputs).dtype)
        return super().detections(inputs)


@pytest.mark.parametrize(("precision", "dtype"), [("bf16-mixed", torch.bfloat16), ("32-true", torch.float32)])
def test_training_boxes_are_found_in_the_precision_of_the_trainer(
    drawn: Path, tmp_path: Path, schema: Schema, precision: str, dtype: torch.dtype
) -> None:
    network, device = Layered(), replace(CPU, precision=precision)
    result = predict_fold(
        row_set(rows(drawn, schema)[:2]),
        NetworkDetector(network, detector_config(), "a", []),
        0,
        schema,
        device,
        tmp_path / "s",
    )
    assert network.ran_in == {dtype}
    # The geometry stays in float32: the whole input is the whole picture.
    for box, (width, height) in zip(result.boxes, result.sizes_wh, strict=True):
        assert box.box.tolist() == pytest.approx([0, 0, width, height], abs=1e-3)
    assert len(result.found[1]["boxes"]) == 5
