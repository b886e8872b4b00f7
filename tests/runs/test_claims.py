"""Two commands in one run folder at once: the run is of the one that was faster, and the other one is told."""

from pathlib import Path

import pytest
from garment_keypoints.pipeline.contract.faults import DataError, UserError
from garment_keypoints.pipeline.contract.files import write_once
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data import select
from garment_keypoints.pipeline.data.select import load_training_set
from garment_keypoints.pipeline.runs import claims
from garment_keypoints.pipeline.runs.claims import claim


@pytest.mark.parametrize("other", [{"lr": 1}, {"lr": 2}])
def test_a_run_that_is_claimed_meanwhile_is_the_others(tmp_path: Path, monkeypatch, other: dict) -> None:
    def slower(file: Path, text: str) -> bool:
        monkeypatch.setattr(claims, "write_once", write_once)
        claim(tmp_path, other)
        return write_once(file, text)

    monkeypatch.setattr(claims, "write_once", slower)
    if other == {"lr": 1}:
        claim(tmp_path, {"lr": 1})
    else:
        with pytest.raises(UserError, match=r"holds a run with other settings \(lr was 2, now 1\)"):
            claim(tmp_path, {"lr": 1})
    assert (tmp_path / "config.yaml").read_text() == f"lr: {other['lr']}\n"


@pytest.mark.parametrize("limit", [0, 12])
def test_folds_that_are_assigned_meanwhile_stay(
    drawn: Path, tmp_path: Path, schema: Schema, monkeypatch, limit: int
) -> None:
    """A run that was begun on other images would be lost for the steps to come."""
    survey, first = select.survey, []

    def slower(*arguments: object) -> object:
        monkeypatch.setattr(select, "survey", survey)
        first.append(load_training_set([drawn / "train"], schema, 2, tmp_path, limit))
        first.append((tmp_path / "folds.csv").read_bytes())
        return survey(*arguments)

    monkeypatch.setattr(select, "survey", slower)
    if limit:
        with pytest.raises(DataError, match=r"folds\.csv: assigns other images to folds; choose another run folder"):
            load_training_set([drawn / "train"], schema, 2, tmp_path)
    else:
        assert load_training_set([drawn / "train"], schema, 2, tmp_path).folds.tolist() == first[0].folds.tolist()
    assert (tmp_path / "folds.csv").read_bytes() == first[1]


@pytest.mark.parametrize(
    ("content", "problem"), [(": [", "line 1"), ("- a\n", "holds list"), ("lr: 2020-01-01\n", "lr was 2020-01-01")]
)
def test_a_damaged_claim_is_one_line(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(UserError, match=rf"{problem}.*choose another run folder \(RUN=\), or remove this one"):
        claim(tmp_path, {"lr": 1})
