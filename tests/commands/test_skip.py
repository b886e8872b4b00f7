"""Pictures that cannot be read: they stop a submission before it begins, or cost their own rows alone."""

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from garment_keypoints.detector.inference import NetworkDetector
from garment_keypoints.pipeline.data import select

from tests.commands.running import run, submit_options

NOTHING = "-1_-1_-1"


@pytest.fixture
def data(drawn: Path, tmp_path: Path) -> Path:
    """A test folder of one's own, to break."""
    return Path(shutil.copytree(drawn / "test", tmp_path / "test"))


def ids_of(data: Path) -> list[str]:
    return [line.split(",")[0] for line in (data / "test.csv").read_text().splitlines()[1:]]


def truncate(picture: Path) -> None:
    picture.write_bytes(picture.read_bytes()[: picture.stat().st_size // 2])


def break_two(data: Path) -> list[str]:
    """Truncate the picture of the second row and remove that of the fifth; return their ids."""
    bad = [ids_of(data)[i] for i in (1, 4)]
    truncate(data / bad[0])
    (data / bad[1]).unlink()
    return bad


def lines_of(submission: Path) -> dict[str, str]:
    return {line.split(",")[0]: line for line in submission.read_text().splitlines()[1:]}


def assert_skipped(out: Path, data: Path, bad: list[str], whole: Path) -> None:
    """Every row is there and in its place, the bad ones hold nothing, and the others what they hold without these."""
    lines, others = lines_of(out), lines_of(whole)
    assert list(lines) == ids_of(data)
    for image_id, line in lines.items():
        if image_id in bad:
            assert set(line.split(",")[2:]) == {NOTHING}
            assert line.split(",")[1] == others[image_id].split(",")[1]
        else:
            assert line == others[image_id]
    figures = json.loads(out.with_suffix(".json").read_text())["figures"]
    assert (list(figures["skipped"]), figures["images"]) == (bad, len(lines))


@pytest.fixture(scope="module")
def whole(trained: Path, drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The submission of all pictures."""
    out = tmp_path_factory.mktemp("whole") / "s.csv"
    answers = drawn / "test" / "answer.csv"
    assert run("submit", *submit_options(trained, drawn / "test"), "--answers", answers, "--out", out) == 0
    return out


def test_unreadable_pictures_stop_a_submission_before_it_begins(
    trained: Path, data: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, out = break_two(data), tmp_path / "out" / "s.csv"
    monkeypatch.setattr(
        "garment_keypoints.pipeline.commands.submit.Inference", None
    )  # a call of it would be a fault of the program
    assert run("submit", *submit_options(trained, data), "--out", out) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: 2 faults: ")
    for image_id, problem, row in zip(bad, ("unreadable image", "missing image"), (3, 6), strict=True):
        line = next(line for line in error.splitlines() if f"test.csv, row {row}: {problem} " in line)
        assert f": '{image_id}'; " in line
    assert not [file for file in out.parent.rglob("*") if file.is_file() and file.suffix != ".lock"]


def test_skipped_pictures_cost_their_own_rows_alone(
    trained: Path, data: Path, whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad, out = break_two(data), tmp_path / "s.csv"
    options = [*submit_options(trained, data), "--answers", data / "answer.csv", "--on_error", "skip"]
    with caplog.at_level(logging.WARNING, "garment_keypoints"):
        assert run("submit", *options, "--out", out) == 0
    assert_skipped(out, data, bad, whole)
    assert "WARNING: 2 of 10 images were skipped; their rows hold no points" in caplog.text
    assert f"skipped {bad[0]}: {data / 'test.csv'}, row 3: unreadable image (" in caplog.text
    figures, before = (json.loads(file.with_suffix(".json").read_text())["figures"] for file in (out, whole))
    visible = [cell.endswith("_1") for i in bad for cell in lines_of(data / "answer.csv")[i].split(",")[2:]]
    assert (figures["points_missing"], before["points_missing"]) == (sum(visible), 0)
    assert figures["points"] == before["points"]
    assert before["skipped"] == {}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_breaks_after_the_first_look(
    trained: Path, drawn: Path, data: Path, whole: Path, tmp_path: Path, capsys, monkeypatch, workers: int
) -> None:
    bad, looked = ids_of(data)[3], select.survey

    def survey(*given: object) -> object:
        found = looked(*given)
        truncate(data / bad)
        return found

    options = [*submit_options(trained, data), "--workers", workers]
    monkeypatch.setattr(select, "survey", survey)
    assert run("submit", *options, "--on_error", "skip", "--out", tmp_path / "s.csv") == 0
    assert_skipped(tmp_path / "s.csv", data, [bad], whole)
    shutil.copy(drawn / "test" / bad, data / bad)
    assert run("submit", *options, "--out", tmp_path / "stopped.csv") == 1
    assert f"error: {data / bad}: unreadable image (" in capsys.readouterr().err
    assert not (tmp_path / "stopped.csv").exists()


def test_a_submission_of_no_readable_picture_is_refused(trained: Path, data: Path, tmp_path: Path, capsys) -> None:
    for picture in map(data.joinpath, ids_of(data)):
        picture.write_text("no picture")
    options = [*submit_options(trained, data), "--on_error", "skip", "--out", tmp_path / "s.csv"]
    assert run("submit", *options) == 1
    assert capsys.readouterr().err.startswith("error: 10 faults: 10 x not an image")
    assert not (tmp_path / "s.csv").exists()


@pytest.mark.parametrize(("most", "warned"), [(0.19, True), (0.2, False)])
def test_many_images_without_a_box_are_told(
    trained: Path, drawn: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch, most: float, warned: bool
) -> None:
    """Two of ten, by detections of no category in the pictures of two rows."""
    detect = NetworkDetector.detect

    def blind(self: NetworkDetector, batch: object) -> object:
        found = detect(self, batch)
        unseen = (batch.index == 2) | (batch.index == 7)
        found.score[:] = torch.where(unseen[found.image], 0.0, 1.0)
        return found

    monkeypatch.setattr(NetworkDetector, "detect", blind)
    with caplog.at_level(logging.WARNING, "garment_keypoints"):
        options = [*submit_options(trained, drawn / "test"), "--most_fallback", most, "--out", tmp_path / "s.csv"]
        assert run("submit", *options) == 0
    fallback = json.loads((tmp_path / "s.json").read_text())["figures"]["fallback"]
    assert fallback == 2
    assert ("WARNING: no box was found in 2 of 10 images (20.0 %)" in caplog.text) == warned
