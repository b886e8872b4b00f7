"""The runs of an ablation, and their shares."""

import pytest
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.lab.ablation.definition import Ablation, Row
from garment_keypoints.pipeline.lab.ablation.runs import planned, share

ABLATION = Ablation("mine", "keypoints", None, tuple(Row(name, "", None) for name in "abc"), 2)


def test_every_row_comes_with_every_seed_once() -> None:
    runs = planned(ABLATION, 2)
    assert [run.name for run in runs] == ["a-seed0", "b-seed0", "c-seed0", "a-seed1", "b-seed1", "c-seed1"]
    assert [run.number for run in runs] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("count", [1, 2, 4, 6, 7])
def test_shares_cover_everything_without_overlap(count: int) -> None:
    runs = planned(ABLATION, 2)
    shares = [share(runs, f"{i}/{count}") for i in range(1, count + 1)]
    assert sorted(run.number for one in shares for run in one) == [1, 2, 3, 4, 5, 6]
    sizes = [len(one) for one in shares]
    assert max(sizes) - min(sizes) <= 1


def test_shares_are_dealt_in_turn() -> None:
    runs = planned(ABLATION, 2)
    assert [run.number for run in share(runs, "2/4")] == [2, 6]
    assert share(runs, "") == runs


def test_rows_by_name() -> None:
    runs = planned(ABLATION, 2)
    assert [run.name for run in share(runs, "c,a")] == ["a-seed0", "c-seed0", "a-seed1", "c-seed1"]
    with pytest.raises(UserError, match="of a, b, c"):
        share(runs, "c,gone")


@pytest.mark.parametrize("only", ["0/2", "3/2", "1", "1/0", "a/b", "1/2/3", "-1/2", "gone", ","])
def test_a_share_that_is_none(only: str) -> None:
    with pytest.raises(UserError, match="--only is "):
        share(planned(ABLATION, 1), only)
