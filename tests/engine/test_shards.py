"""Shards: written by process, cut by interrupts, continued, and merged into the order of the rows."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.records import ImageBatch, ImageRow, Keypoints, Regions
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.engine.box_sources import GivenBoxes, WholeImages
from garment_keypoints.pipeline.engine.shards import ShardWriter, keypoints_of, merge_shards, open_shards, remove_shards

from tests.contract.test_files import no_file_larger_than
from tests.oracle import Case, Dots, make_rows, run_predict

ROWS = [ImageRow(f"Images/skirt/{name}.jpg", "skirt", Path(name)) for name in "edcba"]


def predict_batch(folder: Path, rank: int, indices: list[int]) -> None:
    """Append to a shard as the Trainer of this process would; each value tells its row."""
    rows = torch.tensor(indices)
    regions = {
        "image": torch.arange(len(rows)),
        "instance": torch.zeros_like(rows),
        "category": torch.full_like(rows, 4),
        "xy": rows[:, None, None] + torch.zeros(len(rows), 24, 2) + 0.25,
        "score": torch.full((len(rows), 24), 0.5),
        "box": torch.tensor([[0.0, 0, 10, 10]] * len(rows)),
        "box_score": torch.full((len(rows),), 0.9),
        "origin": torch.zeros_like(rows),
        "fallback": rows == 3,
    }
    size_wh = torch.stack([rows + 100, rows + 200], -1)
    prediction = {"index": rows, "size_wh": size_wh, "regions": regions, "found": {}}
    trainer = SimpleNamespace(global_rank=rank)
    ShardWriter(folder, ROWS).write_on_batch_end(trainer, None, prediction, None, None, 0, 0)  # type: ignore[arg-type]


def merged(folder: Path, schema: Schema) -> list[Keypoints]:
    lines = zip(ROWS, merge_shards(folder, ROWS), strict=True)
    return [p for row, line in lines for p in keypoints_of(row, line, schema)]


def test_shards_of_two_processes_merge_in_the_order_of_the_rows(tmp_path: Path, schema: Schema) -> None:
    open_shards(tmp_path / "parts", {"a": 1})
    predict_batch(tmp_path / "parts", 0, [0, 2])
    predict_batch(tmp_path / "parts", 1, [3, 1])
    predict_batch(tmp_path / "parts", 0, [4])
    predictions = merged(tmp_path / "parts", schema)
    sizes_wh = [line["size_wh"] for line in merge_shards(tmp_path / "parts", ROWS)]
    assert [p.image_id for p in predictions] == [row.image_id for row in ROWS]
    assert [p.xy[7, 1] for p in predictions] == [0.25, 1.25, 2.25, 3.25, 4.25]
    assert [p.fallback for p in predictions] == [False, False, False, True, False]
    assert predictions[1].box.tolist() == [0, 0, 10, 10]
    assert sizes_wh == [[100, 200], [101, 201], [102, 202], [103, 203], [104, 204]]


def test_an_incomplete_prediction_is_refused(tmp_path: Path) -> None:
    open_shards(tmp_path / "parts", {})
    predict_batch(tmp_path / "parts", 0, [0, 1, 2])
    with pytest.raises(
        ValueError, match=r"2 of 5 images have no prediction, first Images/skirt/b\.jpg; run submit again"
    ):
        merge_shards(tmp_path / "parts", ROWS)


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_a_cut_line_is_predicted_again(tmp_path: Path, schema: Schema, kept: int) -> None:
    folder = tmp_path / "parts"
    open_shards(folder, {"a": 1})
    predict_batch(folder, 0, [0, 1, 2])
    shard = folder / "rank0.jsonl"
    *whole, last = shard.read_text().splitlines(keepends=True)
    shard.write_text("".join(whole) + last[:kept])
    assert open_shards(folder, {"a": 1}) == {ROWS[0].key, ROWS[1].key}
    predict_batch(folder, 0, [2, 3, 4])
    assert [p.xy[0, 0] for p in merged(folder, schema)] == [0.25, 1.25, 2.25, 3.25, 4.25]


@pytest.mark.parametrize(
    "damaged",
    [b"{}\n", b"\xff\xfe\x00\n", b"\n", b"00000000 {}\n", b'{"image_id": "a", "instance": 0, "regions": 3}\n', b"\r"],
)
def test_damaged_lines_are_predicted_again(tmp_path: Path, schema: Schema, damaged: bytes) -> None:
    folder = tmp_path / "parts"
    open_shards(folder, {"a": 1})
    predict_batch(folder, 0, [0, 1, 2])
    shard = folder / "rank0.jsonl"
    first, second, third = shard.read_bytes().splitlines(keepends=True)
    shard.write_bytes(first + damaged + second.replace(b"1.25", b"7.25", 1) + third)
    assert open_shards(folder, {"a": 1}) == {ROWS[0].key, ROWS[2].key}
    predict_batch(folder, 0, [1, 3, 4])
    assert [p.xy[0, 0] for p in merged(folder, schema)] == [0.25, 1.25, 2.25, 3.25, 4.25]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    "files",
    [
        {"thesis.txt": b"mine"},
        {"job.json": b'{"a": 1}', "thesis.txt": b"mine"},
        {"rank0.jsonl": b"mine"},
        {"job.json": b"[1]"},
        {"job.json": b"[" * 100_000},
        {"job.json": b"\xff{", "rank0.jsonl": b"mine"},
    ],
)
def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=re.escape(str(tmp_path))):
        open_shards(tmp_path, {"a": 2})
    assert contents(tmp_path) == files


def test_a_file_or_a_link_in_the_place_of_the_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.parts").write_text("mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "b.parts").symlink_to(tmp_path / "mine")
    for name in ("a.parts", "b.parts"):
        with pytest.raises(UserError, match=f"{name} exists and is no folder of predictions"):
            open_shards(tmp_path / name, {})
    assert (tmp_path / "a.parts").read_text() == "mine"


def test_only_our_files_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    open_shards(folder, {})
    predict_batch(folder, 0, [0])
    (folder / "result.csv.1-0123abcd.partial").write_text("what a killed process left")
    (folder / "mine").mkdir()
    before = len(list(folder.iterdir()))
    with pytest.raises(UserError, match="parts holds mine"):
        remove_shards(folder)
    assert len(list(folder.iterdir())) == before
    (folder / "mine").rmdir()
    remove_shards(folder)
    assert not folder.exists()


def test_a_full_disk_is_told_by_the_shard(tmp_path: Path) -> None:
    open_shards(tmp_path / "parts", {})
    with no_file_larger_than(2000), pytest.raises(OSError, match="File too large") as full:
        predict_batch(tmp_path / "parts", 0, [0, 1, 2])
    assert full.value.filename == str(tmp_path / "parts" / "rank0.jsonl")
    assert len(open_shards(tmp_path / "parts", {})) < 3


def test_shards_of_another_job_do_not_count(tmp_path: Path) -> None:
    job = {"checkpoint": "a", "size_wh": (224, 224)}
    open_shards(tmp_path / "parts", job)
    predict_batch(tmp_path / "parts", 0, [0])
    assert open_shards(tmp_path / "parts", job) == {ROWS[0].key}
    assert open_shards(tmp_path / "parts", job | {"checkpoint": "b"}) == set()
    assert not list((tmp_path / "parts").glob("*.jsonl"))


def test_shards_of_an_older_format_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"a": 1}')
    (tmp_path / "rank0.jsonl").write_text('{"image_id": "a", "xy": []}\n')
    assert open_shards(tmp_path, {"a": 1}) == set()


class Interrupted(WholeImages):
    """A detector that Ctrl-C hits at its third batch."""

    def __init__(self) -> None:
        super().__init__()
        self.batches = 0

    def regions(self, batch: ImageBatch) -> Regions:
        self.batches += 1
        if self.batches == 3:
            raise KeyboardInterrupt
        return super().regions(batch)


@pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning")
def test_an_interrupted_prediction_goes_on(tmp_path: Path, schema: Schema) -> None:
    cases = [Case((60 + 3 * i, 50), "skirt") for i in range(9)]
    rows = make_rows(tmp_path, schema, cases, apart=2)
    locator = Dots((64, 64), 0.0)
    with pytest.raises(KeyboardInterrupt):
        run_predict(rows, (Interrupted(), locator), tmp_path / "parts", schema, batch_size=2)
    rest = Interrupted()  # four rows are done; at the third batch eight are
    with pytest.raises(KeyboardInterrupt):
        run_predict(rows, (rest, locator), tmp_path / "parts", schema, batch_size=2)
    finished, sizes_wh = run_predict(rows, (Interrupted(), locator), tmp_path / "parts", schema, batch_size=2)
    whole, _ = run_predict(rows, (WholeImages(), locator), tmp_path / "whole", schema, batch_size=2)
    assert sizes_wh.tolist() == [list(case.size_wh) for case in cases]
    for a, b in zip(finished, whole, strict=True):
        assert a.image_id == b.image_id
        np.testing.assert_allclose(a.xy, b.xy, atol=2e-3)


@pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning")
def test_given_boxes_stay_with_their_rows_after_an_interrupt(tmp_path: Path, schema: Schema) -> None:
    """Two garments of one picture as two rows; what is left after the first batch keeps its own boxes."""
    rows = make_rows(tmp_path, schema, [Case((60, 50), "skirt")] * 3, apart=2)
    rows = [row for first in rows for row in (first, replace(first, instance=1))]
    boxes = torch.tensor([[i, 2.0 * i, 30 + i, 40] for i in range(6)])

    class Cut(GivenBoxes):
        batches = 0

        def regions(self, batch: ImageBatch) -> Regions:
            self.batches += 1
            if self.batches == 3:
                raise KeyboardInterrupt
            return super().regions(batch)

    locator = Dots((32, 32), 0.0)
    with pytest.raises(KeyboardInterrupt):
        run_predict(rows, (Cut(boxes), locator), tmp_path / "parts", schema, batch_size=1)
    found, _ = run_predict(rows, (GivenBoxes(boxes), locator), tmp_path / "parts", schema, batch_size=1)
    assert [p.key for p in found] == [row.key for row in rows]
    assert [p.box.tolist() for p in found] == boxes.tolist()
