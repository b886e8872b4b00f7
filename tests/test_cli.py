"""The command line on a tiny dataset: the whole chain, and what it says when something is wrong."""

import json
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from garment_keypoints.detector.inference import NetworkDetector
from garment_keypoints.pipeline.contract.formats.boxes import read_boxes
from garment_keypoints.pipeline.contract.formats.submission import read_submission
from garment_keypoints.pipeline.contract.records import Detections, ImageBatch
from garment_keypoints.pipeline.contract.schema import Schema

from garment_keypoints import __version__, pipeline
from tests.commands.running import TINY, run, submit_options


def test_the_chain_leaves_what_it_should(trained: Path, drawn: Path, tmp_path: Path, schema: Schema, capsys) -> None:
    boxes = read_boxes(trained / "boxes.csv", schema)
    assert len(boxes) == 20
    assert all(box.checkpoint == f"fold{box.fold}" for box in boxes)
    assert not list(trained.rglob("last.ckpt")) + list(trained.rglob("*.partial"))
    record = json.loads((trained / "keypoints" / "final.json").read_text())
    assert record["settings"]["keypoints"]["crop"]["size"] == 64
    assert record["provenance"]["command"].startswith("python -m pipeline")
    out = tmp_path / "s" / "submission.csv"
    answers = drawn / "test" / "answer.csv"
    assert run("submit", *submit_options(trained, drawn / "test"), "--answers", answers, "--out", out) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("NE ")
    ids = [line.split(",")[0] for line in out.read_text().splitlines()[1:]]
    assert ids == [line.split(",")[0] for line in (drawn / "test" / "test.csv").read_text().splitlines()[1:]]
    assert len(read_submission(out, schema)) == 10
    figures = json.loads(out.with_suffix(".json").read_text())["figures"]
    assert figures["images"] == 10
    assert {"ap", "iou", "contained_in_square"} <= set(figures["detector"])
    assert out.with_suffix(".png").stat().st_size > 1000


def test_evaluate_prints_the_score_in_its_last_line(drawn: Path, tmp_path: Path, capsys) -> None:
    answer = drawn / "test" / "answer.csv"
    assert run("evaluate", "--submission", answer, "--answers", answer, "--json", tmp_path / "e.json") == 0
    lines = capsys.readouterr().out.splitlines()
    figures = json.loads((tmp_path / "e.json").read_text())
    skipped = figures["images_skipped"]
    assert lines[-1] == f"NE 0.000 % (variant default, {figures['points']} points, {skipped} images skipped)"
    assert any(line.split()[0] == "crotch" for line in lines)


def test_a_bar_can_be_set(drawn: Path, tmp_path: Path) -> None:
    answer = drawn / "test" / "answer.csv"
    lines = answer.read_text().splitlines()
    shifted = tmp_path / "s.csv"
    shifted.write_text("\n".join(lines[:6]) + "\n")  # half of the rows are missing and cost 100 %
    assert run("evaluate", "--submission", shifted, "--answers", answer, "--at-most", 90) == 0
    assert run("evaluate", "--submission", shifted, "--answers", answer, "--at-most", 10) == 1


def test_what_a_signal_to_all_processes_leads_to_is_no_fault(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def ended(*_: object) -> None:
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated.")

    monkeypatch.setattr("garment_keypoints.pipeline.cli.run.dispatch", ended)
    assert run("check") == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "interrupted; the same command goes on from here\n"


def test_a_worker_that_was_killed_is_named_with_a_remedy(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def killed(*_: object) -> None:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")

    monkeypatch.setattr("garment_keypoints.pipeline.cli.run.dispatch", killed)
    assert run("check") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: DataLoader worker (pid 7) is killed by signal: Killed. Mostly")
    assert "fewer --workers" in error


def test_a_fault_of_the_program_says_what_to_report(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("garment_keypoints.pipeline.cli.run.dispatch", broken)
    assert run("check") == 1
    assert (
        capsys.readouterr().err.splitlines()[-1].endswith(f"`python -m pipeline check` and the version {__version__}")
    )


@pytest.mark.parametrize("source", ["truth", "image"])
def test_boxes_can_come_from_elsewhere(trained: Path, drawn: Path, tmp_path: Path, source: str) -> None:
    options = [*submit_options(trained, drawn / "test"), "--answers", drawn / "test" / "answer.csv", "--boxes", source]
    assert run("submit", *options, "--out", tmp_path / "s.csv") == 0
    assert json.loads((tmp_path / "s.json").read_text())["figures"]["boxes"] == source


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("detections", "a submission takes one an image"),
        ("guess", "box source is 'guess'; expected one of detector, detections, truth, image"),
        ("truth", "boxes from the truth need --answers"),
    ],
)
def test_boxes_that_make_no_submission(
    trained: Path, drawn: Path, tmp_path: Path, capsys, source: str, message: str
) -> None:
    options = [*submit_options(trained, drawn / "test"), "--boxes", source]
    assert run("submit", *options, "--out", tmp_path / "s.csv") == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "s.csv").exists()


def test_scoring_does_not_run_the_detector_again(
    trained: Path, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    detect = NetworkDetector.detect

    def counted(self: NetworkDetector, batch: ImageBatch) -> Detections:
        seen.append(len(batch))
        return detect(self, batch)

    monkeypatch.setattr(NetworkDetector, "detect", counted)
    options = [*submit_options(trained, drawn / "test"), "--answers", drawn / "test" / "answer.csv"]
    assert run("submit", *options, "--out", tmp_path / "s.csv") == 0
    assert sum(seen) == 10


def test_what_is_there_is_kept(trained: Path, drawn: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = (trained / "keypoints" / "final.safetensors").read_bytes()
    caplog.set_level("INFO")
    assert run("train-keypoints", *TINY, "--data", drawn / "train", "--run", trained) == 0
    assert "is there already" in caplog.text
    assert (trained / "keypoints" / "final.safetensors").read_bytes() == before


def test_another_setting_in_the_same_run_is_refused(trained: Path, drawn: Path, capsys) -> None:
    assert (
        run("train-keypoints", *TINY, "--keypoints.train.lr", "0.5", "--data", drawn / "train", "--run", trained) == 1
    )
    assert "holds a run with other settings (config.train.lr was 0.001, now 0.5)" in capsys.readouterr().err


def test_parts_that_do_not_fit_are_refused_before_any_training(drawn: Path, tmp_path: Path, capsys) -> None:
    """Even train-detector, which comes first, refuses the keypoint network of the same preset."""
    options = [*TINY, "--data", drawn / "train", "--run", tmp_path / "run"]
    for wrong in (["--keypoints.network.head", "unet"], ["--keypoints.loss.name", "cross_entropy"]):
        assert run("train-detector", *options, *wrong) == 1
        message = capsys.readouterr().err
        assert "expected one of fpn" in message or "codec heatmap takes mse" in message
    assert not (tmp_path / "run").exists()


def copy(trained: Path, to: Path) -> Path:
    shutil.copytree(trained, to)
    return to


def test_swapped_fold_checkpoints_make_boxes_fail(trained: Path, drawn: Path, tmp_path: Path, capsys) -> None:
    folder = copy(trained, tmp_path / "run")
    shutil.rmtree(folder / "detector" / "boxes")
    (folder / "boxes.csv").unlink()
    for source, target in ((0, 1), (1, 0)):
        for suffix in ("safetensors", "ids.txt", "json"):  # with their records, as if the folds had been mixed up
            target_file = folder / "detector" / f"fold{target}.{suffix}"
            text = (trained / "detector" / f"fold{source}.{suffix}").read_bytes()
            old, new = (b'"fold%d.safetensors"' % k for k in (source, target))
            target_file.write_bytes(text.replace(old, new))
    assert run("boxes", *TINY, "--data", drawn / "train", "--run", folder) == 1
    assert "images of fold 0 in training" in capsys.readouterr().err
    assert not (folder / "boxes.csv").exists()


def test_boxes_that_lack_rows(trained: Path, drawn: Path, tmp_path: Path, capsys) -> None:
    folder = copy(trained, tmp_path / "run")
    shutil.rmtree(folder / "keypoints")
    lines = (folder / "boxes.csv").read_text().splitlines()
    (folder / "boxes.csv").write_text("\n".join(lines[:-3]) + "\n")
    (folder / "boxes.json").unlink()
    named = (folder / "boxes.csv").rename(folder / "short.csv")
    assert run("train-keypoints", *TINY, "--data", drawn / "train", "--run", folder, "--boxes", named) == 1
    assert f"{named}: no box for 3 of 20 images" in " ".join(capsys.readouterr().err.split())


def test_a_checkpoint_of_the_other_stage(trained: Path, drawn: Path, tmp_path: Path, capsys) -> None:
    options = submit_options(trained, drawn / "test")
    options[3] = trained / "keypoints" / "final.safetensors"
    assert run("submit", *options, "--out", tmp_path / "s.csv") == 1
    assert "a checkpoint of the keypoints stage, expected one of the detector stage" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_another_schema(trained: Path, drawn: Path, tmp_path: Path, schema: Schema, capsys) -> None:
    own = tmp_path / "mine.yaml"
    text = (Path(pipeline.__file__).parent / "contract" / "schemas" / "fashionai.yaml").read_text()
    own.write_text(text.replace("name: fashionai", "name: mine"))
    assert run("submit", *submit_options(trained, drawn / "test"), "--out", tmp_path / "s.csv", "--schema", own) == 1
    assert "trained for schema fashionai" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["file/s.csv", "s.csv"], ids=["read-only", "full"])
def test_a_folder_that_takes_no_file(
    trained: Path, drawn: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Below a file nobody can write (root included); a full disk is played."""
    (tmp_path / "file").write_text("")
    if place == "s.csv":

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
    assert run("submit", *submit_options(trained, drawn / "test"), "--out", tmp_path / place) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.rstrip().endswith(
        "free space, or choose another folder" if place == "s.csv" else "; choose another folder"
    )
    assert not (tmp_path / "s.csv").exists()


def test_check_reports_all_faults_at_once(drawn: Path, tmp_path: Path, capsys) -> None:
    test = drawn / "test"
    assert run("check", "--data", drawn / "train", "--test", test, "--answers", test / "answer.csv") == 0
    assert "20 images" in capsys.readouterr().out
    shutil.copytree(drawn, tmp_path / "bad")
    bad = tmp_path / "bad" / "train"
    images = sorted((bad / "Images").rglob("*.jpg"))
    images[0].write_bytes(images[0].read_bytes()[:700])
    images[1].write_text("no picture")
    images[2].unlink()
    file = bad / "Annotations" / "train.csv"
    lines = file.read_text().splitlines()
    row = next(i for i, line in enumerate(lines) if i and not any(p.name in line for p in images[:3]))
    lines[row] = lines[row].replace("_1,", "_7,", 1)
    file.write_text("\n".join(lines) + "\n")
    assert run("check", "--data", bad, "--test", drawn / "test") == 1
    out = capsys.readouterr().out
    assert "4 faults: " in out
    for part in ("unreadable image", "not an image", "missing image", "malformed cell"):
        assert part in out


def test_training_refuses_a_faulty_dataset_before_it_starts(drawn: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(drawn / "train", tmp_path / "train")
    image = sorted((tmp_path / "train" / "Images").rglob("*.jpg"))[0]
    image.write_bytes(image.read_bytes()[:700])
    assert run("train-detector", *TINY, "--data", tmp_path / "train", "--run", tmp_path / "run") == 1
    assert "unreadable image" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("stage", ["detector", "keypoints"])
def test_look_draws_sheets(trained: Path, drawn: Path, tmp_path: Path, stage: str) -> None:
    assert run("look", *TINY, "--stage", stage, "--data", drawn / "train", "--run", trained, "--out", tmp_path) == 0
    sheets = {p.name for p in tmp_path.iterdir()}
    assert sheets == ({"detector_inputs.png", "boxes.png"} if stage == "detector" else {"crops.png"})


def test_look_draws_what_a_network_says_also_one_that_collapsed(
    trained: Path, drawn: Path, tmp_path: Path, capsys
) -> None:
    folder = copy(trained, tmp_path / "run")
    given = [*TINY, "--data", drawn / "train", "--run", folder]
    dead = ["--keypoints.train.lr", 1e-9, "--keypoints.train.save_every", 1, "--keypoints.train.epochs", 3]
    alarm = ["--keypoints.alarm.steps", 0, "--keypoints.alarm.warmup", 0]
    assert run("train-keypoints", *given, *dead, *alarm, "--name", "dead") == 1
    assert "training has collapsed" in capsys.readouterr().err
    for name in ("final", "dead"):
        assert run("look", *given, "--stage", "network", "--name", name, "--out", tmp_path / "look") == 0
    assert {p.name for p in (tmp_path / "look").iterdir()} == {"network_final.png", "network_dead.png"}
    assert run("look", *given, "--stage", "network", "--name", "none", "--out", tmp_path / "look") == 1
    assert "none/config.yaml: No such file" in capsys.readouterr().err


def test_report_writes_the_tables(trained: Path, drawn: Path, tmp_path: Path) -> None:
    folder = copy(trained, tmp_path / "run")
    out = folder / "submit-1" / "submission.csv"
    answers = drawn / "test" / "answer.csv"
    assert run("submit", *submit_options(folder, drawn / "test"), "--answers", answers, "--out", out) == 0
    options = ["--run", folder, "--name", "tiny", "--results", tmp_path / "results", "--out", tmp_path / "results.md"]
    assert run("lab", "report", *options) == 0
    text = (tmp_path / "results.md").read_text()
    ne = json.loads(out.with_suffix(".json").read_text())["figures"]["ne"]
    assert f"| tiny | keypoints/final | test | detector | 0 | 10 | {ne:.3f} |" in text
    assert "| tiny | val |" in text
    assert "`python -m pipeline" in text
    assert run("lab", "report", "--results", tmp_path / "none", "--out", tmp_path / "r.md") == 1


def test_an_answer_without_points_does_not_break_the_score(trained: Path, drawn: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(drawn / "test", tmp_path / "test")
    answers = tmp_path / "test" / "answer.csv"
    lines = answers.read_text().splitlines()
    lines[1] = ",".join([*lines[1].split(",")[:2], *["-1_-1_-1"] * 24])
    answers.write_text("\n".join(lines) + "\n")
    for boxes in ("detector", "truth"):
        out = tmp_path / f"{boxes}.csv"
        options = [*submit_options(trained, tmp_path / "test"), "--answers", answers, "--boxes", boxes, "--out", out]
        assert run("submit", *options) == 0
        figures = json.loads(out.with_suffix(".json").read_text())["figures"]
        assert (figures["images"], figures["images_skipped"]) == (10, 1)
    capsys.readouterr()
