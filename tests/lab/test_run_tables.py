"""The tables of results: nothing of a run is lost in them."""

import json
from pathlib import Path
from typing import Any

import pytest
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.lab.run_tables import gather, tables, write_report

PROVENANCE = {"command": "c", "commit": "abc", "date": "d", "machine": "m", "python": "3", "versions": {"torch": "2"}}


def write(file: Path, wall_s: float, **content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    record = {"provenance": PROVENANCE, "wall_s": wall_s, "peak_memory_gb": 1.0, **content}
    file.write_text(json.dumps(record))


def run_folder(folder: Path) -> Path:
    write(folder / "keypoints" / "final.json", 200)
    return folder


@pytest.fixture
def text(tmp_path: Path) -> str:
    """The tables of a run with two submissions alike but for their folder, one of other boxes, and three networks."""
    for number, (folder, boxes) in enumerate(
        (("submit-a", "detector"), ("submit-b", "detector"), ("submit-b", "image"))
    ):
        figures = {"boxes": boxes, "images": 3, "ne": 5.0 + number}
        write(tmp_path / folder / f"{boxes}.json", 100 + number, test="test_a", figures=figures)
    one = {"images": 3, "ne": 7.25, "by_category": {"dress": 7.25}}
    write(tmp_path / "keypoints" / "final.json", 200)
    write(tmp_path / "keypoints" / "big.json", 201)
    write(tmp_path / "keypoints" / "val.json", 202, figures={"val": {"out_of_fold_boxes": one, "true_boxes": one}})
    return tables([gather(tmp_path, "mine")])


def test_every_submission_keeps_its_time(text: str) -> None:
    assert "| mine | submit test_a, boxes from detector, in submit-a | 100 |" in text
    assert "| mine | submit test_a, boxes from detector, in submit-b | 101 |" in text
    assert "| mine | submit test_a, boxes from image, in submit-b | 102 |" in text


def test_every_network_is_listed_by_its_name(text: str) -> None:
    for name, time in (("final", 200), ("big", 201), ("val", 202)):
        assert f"| mine | keypoints/{name} | {time} |" in text
    assert "| mine | val | out of fold boxes | 3 | 7.250 |" in text
    assert "| mine | val | true boxes | 3 | 7.250 |" in text


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"name": "x", "steps": [], "submissions": []}', '{"name": "x"'])
def test_a_damaged_results_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps(gather(run_folder(tmp_path / "run"), "mine")))
    (tmp_path / "b.json").write_text(content)
    with pytest.raises(UserError, match=r"b\.json: not a results file of this project"):
        write_report(tmp_path, tmp_path / "out.md")
    assert not (tmp_path / "out.md").exists()


def test_the_results_of_other_commands_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(gather(run_folder(tmp_path / "run"), "mine")))
    write_report(tmp_path, tmp_path / "alone.md")
    (tmp_path / "ablation.json").write_text('{"format": 1, "annotations": "a", "base": {}, "rows": {}}')
    (tmp_path / "match.json").write_text('{"provenance": {}, "match": {}}')
    write_report(tmp_path, tmp_path / "beside.md")
    assert (tmp_path / "beside.md").read_text() == (tmp_path / "alone.md").read_text()


def test_the_committed_tables_are_those_of_the_committed_results(tmp_path: Path) -> None:
    docs = Path(__file__).parents[2] / "docs"
    write_report(docs / "results", tmp_path / "results.md")
    assert (tmp_path / "results.md").read_text() == (docs / "results.md").read_text()
