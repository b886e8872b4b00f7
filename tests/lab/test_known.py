"""The file of an ablation's runs: what is written is read again, and what is of another ablation is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.lab.ablation.costs import MeasuredCosts
from garment_keypoints.pipeline.lab.ablation.definition import Row, read_ablation
from garment_keypoints.pipeline.lab.ablation.known import as_known, read_known
from garment_keypoints.pipeline.lab.ablation.runs import COLLAPSED, DONE, FAILED, PENDING, Outcome, Run
from garment_keypoints.pipeline.lab.ablation.settings import flat_rows
from garment_keypoints.pipeline.settings import Settings

BASE = {"folds": 2, "train.lr": 0.1}
ROWS = {"a": BASE, "b": BASE | {"train.lr": 0.2}, "c": BASE}
DONE_ONCE = Outcome(DONE, {"ne": 9.5, "dress": None}, 100.0, True, "2 cores", "abc", "run", inputs="boxes 12ab")
LOST = Outcome(COLLAPSED, message="all alike")
COSTS = {"a": MeasuredCosts(3_000_000, 500_000_000, 12.5, "2 cores"), "b": None}


def run(name: str, seed: int = 0) -> Run:
    return Run(1, Row(name, "", None), seed, "keypoints")


OUTCOMES = [
    (run("a"), DONE_ONCE),
    (run("a", 1), Outcome(PENDING)),
    (run("b"), LOST),
    (run("c"), Outcome(FAILED, message="no room")),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path / "mine.json", as_known("f00d", BASE, ROWS, OUTCOMES, COSTS))


def written(file: Path, content: Any) -> Path:
    file.write_text(json.dumps(content))
    return file


def test_runs_that_ended_are_read_again(file: Path) -> None:
    known = read_known([file], "f00d", BASE, ROWS)
    assert known.outcomes == {("a", 0): DONE_ONCE, ("b", 0): LOST}
    assert known.costs == {"a": COSTS["a"]}


def test_of_two_files_the_first_counts(file: Path, tmp_path: Path) -> None:
    later = [(run("a"), LOST), (run("a", 1), DONE_ONCE)]
    other = written(tmp_path / "other.json", as_known("f00d", BASE, ROWS, later, {}))
    known = read_known([file, other], "f00d", BASE, ROWS)
    assert known.outcomes == {("a", 0): DONE_ONCE, ("a", 1): DONE_ONCE, ("b", 0): LOST}


def test_a_row_that_the_ablation_has_no_more_is_passed_over(file: Path) -> None:
    assert list(read_known([file], "f00d", BASE, {"b": ROWS["b"]}).outcomes) == [("b", 0)]


def test_a_newer_setting_had_its_default(file: Path) -> None:
    new = {name: row | {"train.ema": 0.0} for name, row in ROWS.items()}
    assert len(read_known([file], "f00d", {"train.ema": 0.0}, new).outcomes) == 2
    with pytest.raises(UserError, match=r"train\.ema was 0\.5, now 0\.0"):
        read_known([file], "f00d", {"train.ema": 0.5}, new)


def test_other_settings_and_other_pictures_are_refused(file: Path) -> None:
    with pytest.raises(
        UserError, match=r"row b was made with other settings than the ablation's \(train\.lr was 0\.2, now 0\.1"
    ):
        read_known([file], "f00d", {}, ROWS | {"b": BASE})
    with pytest.raises(UserError, match="other training images"):
        read_known([file], "beef", {}, ROWS)


@pytest.mark.parametrize("content", [None, [], {}, {"format": 2}, {"format": 1}])
def test_a_file_of_something_else(tmp_path: Path, content: Any) -> None:
    with pytest.raises(UserError, match=r"mine\.json"):
        read_known([written(tmp_path / "mine.json", content)], "f00d", {}, ROWS)
    with pytest.raises(UserError, match="expected the results of an ablation's runs"):
        read_known([tmp_path / "none.json"], "f00d", {}, ROWS)


@pytest.mark.parametrize(
    "damage",
    [
        {"rows": [1]},
        {"rows": {"a": {}}},
        {"base": 3},
        {"rows": {"a": {"settings": {}, "costs": None, "runs": {"x": {}}}}},
        {"rows": {"a": {"settings": {}, "costs": None, "runs": {"0": {"colour": 1}}}}},
        {"rows": {"a": {"settings": {}, "costs": {"colour": 1}, "runs": {}}}},
    ],
)
def test_a_damaged_file(file: Path, damage: dict[str, Any]) -> None:
    written(file, json.loads(file.read_text()) | damage)
    with pytest.raises(UserError, match="not the results of an ablation's runs"):
        read_known([file], "f00d", {}, ROWS)


def test_names_of_an_older_version_and_what_is_gone_count_as_they_are_now(tmp_path: Path) -> None:
    now = {"detector.margin": 0.1, "keypoints.crop.size": 64}
    old = as_known(
        "f00d", now | {"detector.flip_test": False}, {"a": now | {"detector.flip_test": False}}, OUTCOMES[:1], {}
    )
    assert len(read_known([written(tmp_path / "old.json", old)], "f00d", {}, {"a": now}).outcomes) == 1
    old["base"]["detector.flip_test"] = True
    with pytest.raises(UserError, match=r"detector\.flip_test was True, now 'not there'"):
        read_known([written(tmp_path / "old.json", old)], "f00d", {}, {"a": now})


@pytest.mark.parametrize("name", ["matrix", "full_size", "five_folds"])
def test_the_results_that_are_kept_fit_their_file(name: str) -> None:
    """A matrix goes on from them: no row has other settings, or learned in other boxes, than the file says now."""
    folder = Path(__file__).parents[2] / "pipeline" / "lab"
    ablation, file = (
        read_ablation(folder / "configs" / "match" / f"{name}.yaml", Settings),
        folder / "results" / "match" / f"{name}.json",
    )
    base, rows = flat_rows(ablation, Settings())
    known = read_known([file], json.loads(file.read_text())["annotations"], base, rows)
    assert {row for row, _ in known.outcomes} >= {
        ablation.rows[0].name,
        *(row.name for row in ablation.rows if row.boxes),
    }
