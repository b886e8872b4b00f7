"""What `make submit` would run: the right data in a run folder of its own."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent


def planned(*variables: str) -> dict[str, str]:
    """Return the options of the last command that `make submit` would run, and `--data` of the first that has it."""
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", "submit", *variables],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    text = done.stdout.replace("\\\n", " ")
    submit = next(line for line in text.splitlines() if " submit --test" in line)
    return dict(re.findall(r"--(data) (\S+)", text)[:1] + re.findall(r"--(\w+) (\S+)", submit))


def test_other_data_never_return_the_result_of_the_sample(drawn: Path) -> None:
    train, test = f"DATA={drawn}/train", f"TEST={drawn}/test"
    sample, other = planned(), planned(train, test, "PRESET=sample")
    assert other["data"] == f"{drawn}/train"
    assert other["test"] == f"{drawn}/test"
    assert "data/sample" in sample["test"]
    for option in ("detector", "keypoints", "out"):
        assert sample[option] != other[option]
    rehearsed, changed = planned(train, test, "LIMIT=8"), planned(train, test, "ARGS=--keypoints.train.lr 3e-4")
    assert len({run["keypoints"] for run in (other, rehearsed, changed)}) == 3


def test_real_data_get_the_preset_of_cpus_whatever_the_machine_has(drawn: Path, tmp_path: Path) -> None:
    """The preset gpu has no result yet: nobody gets it who did not ask for it."""
    found = tmp_path / "nvidia-smi"
    found.write_text("#!/bin/sh\n")
    found.chmod(0o755)
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", "train-detector", f"DATA={drawn}/train"],
        cwd=ROOT,
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--config configs/cpu.yaml" in done.stdout


def test_a_network_for_val_has_a_name_and_a_submission_of_its_own() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", "train-keypoints", "VAL=1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.rstrip().endswith("--name val --val")
    final, val, other = planned(), planned("VAL=1"), planned("NAME=other")
    assert Path(val["keypoints"]).stem == "val"
    assert Path(final["keypoints"]).with_name("x") == Path(val["keypoints"]).with_name("x")
    assert len({run["out"] for run in (final, val, other)}) == 3


def test_a_submission_with_a_refinement_is_another() -> None:
    one, two = planned(), planned("REFINE=1")
    assert "refine" not in one
    assert two["refine"] == "1"
    assert planned("PASSES=2") == two  # as older versions called it
    assert one["keypoints"] == two["keypoints"]
    assert one["out"] != two["out"]


def test_a_preset_may_have_a_second_training(drawn: Path) -> None:
    def trainings(*variables: str) -> list[str]:
        command = [
            "make",
            "--no-print-directory",
            "-n",
            "train-keypoints",
            f"DATA={drawn}/train",
            "PRESET=best",
            "RUN=r",
        ]
        done = subprocess.run([*command, *variables], cwd=ROOT, capture_output=True, text=True, check=True)
        return [line for line in done.stdout.replace("\\\n", " ").splitlines() if " train-keypoints --" in line]

    laid_over = "--config configs/best.yaml --config configs/further/best.yaml"
    first, second = trainings("VAL=1")
    assert laid_over not in first
    assert first.split()[-3:] == ["--name", "val-first", "--val"]
    assert laid_over in second
    assert second.split()[-5:] == ["--name", "val", "--val", "--start", "r/keypoints/val-first.safetensors"]
    (only,) = trainings("START=cpu")
    assert laid_over in only
    assert only.split()[-4:] == ["--name", "final", "--start", "cpu"]


def test_a_matrix_in_given_boxes_trains_no_detector(drawn: Path) -> None:
    command = [
        "make",
        "--no-print-directory",
        "-n",
        "match-matrix",
        f"DATA={drawn}/train",
        f"TEST={drawn}/test",
        f"ANSWERS={drawn}/test/answer.csv",
        "RUN=r",
    ]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert " train-detector --" in text
    assert "--detector r/detector/final.safetensors" in text
    given = [*command, "BOXES=b/boxes.csv", "TEST_BOXES=b/test_boxes.csv"]
    text = subprocess.run(given, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "train-detector" not in text
    assert "--boxes b/boxes.csv" in text
    assert "--detector b/test_boxes.csv" in text


def test_what_is_there_is_not_made_again(drawn: Path, tmp_path: Path) -> None:
    """The records, which are written last, say what is done."""
    out = tmp_path / "submit"
    for record in ("detector/final", "boxes", "keypoints/final", "submit/submission"):
        (tmp_path / record).parent.mkdir(exist_ok=True)
        (tmp_path / record).with_suffix(".json").write_text("{}")
    command = [
        "make",
        "--no-print-directory",
        "-n",
        "submit",
        f"DATA={drawn}/train",
        f"TEST={drawn}/test",
        f"RUN={tmp_path}",
        f"OUT={out}",
    ]
    installed = tmp_path / "installed"
    installed.touch()
    command += ["PRESET=sample", f"INSTALLED={installed}", "CONFIG=configs/sample.yaml"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "pipeline" not in text
    (tmp_path / "keypoints" / "final.json").unlink()
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [verb for verb in ("boxes", "train-keypoints", "submit") if f" {verb} --" in text] == [
        "train-keypoints",
        "submit",
    ]


def ablation_options(target: str, *variables: str) -> dict[str, str]:
    """Return the options of the ablation that a target would run, as one text each; run folders without their fingerprint."""
    command = ["make", "--no-print-directory", "-n", target, *variables]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.replace("\\\n", " ").splitlines() if " ablate --" in line)
    return {name: re.sub("-[0-9]+$", "", value) for name, value in re.findall(r"--(\w+) (\S+)", line)}


def test_a_preset_that_is_none_is_refused_by_one_line() -> None:
    command = ["make", "--no-print-directory", "-n", "submit", "PRESET=huge"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode
    expected = "PRESET=huge is no preset; expected one of best cpu gpu sample"
    assert re.fullmatch(rf"Makefile:[0-9]+: \*\*\* {expected}\.  Stop\.\n", done.stderr)


def test_an_ablation_may_be_called_a_study_for_this_release() -> None:
    command = ["make", "--no-print-directory", "-n", "ablate-detector", "STUDY=my/own.yaml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert " --ablation my/own.yaml " in done.stdout
    assert (
        done.stderr.count("STUDY=my/own.yaml is now ABLATION=my/own.yaml; the former name works for this release") == 1
    )


def test_an_ablation_is_that_of_the_preset_and_an_ablation_of_ones_own_has_its_own_base(drawn: Path) -> None:
    data = f"DATA={drawn}/train"
    sample = ablation_options("ablate-detector")
    assert (sample["ablation"], sample["base"]) == (
        "pipeline/lab/configs/ablations/sample_detector.yaml",
        "configs/sample.yaml",
    )
    assert sample["run"] == "runs/sample_detector-sample"
    real = ablation_options("ablate-keypoints", data, "PRESET=gpu", "ONLY=1/2", "SEEDS=3", "LIMIT=9", "RUN=r")
    assert real == {
        "ablation": "pipeline/lab/configs/ablations/keypoints.yaml", "data": f"{drawn}/train", "run": "r",
        "base": "configs/gpu.yaml",
        "only": "1/2", "seeds": "3", "limit": "9",
    }  # fmt: skip
    own = ablation_options("ablate-keypoints", data, "ABLATION=my/own.yaml")
    assert (own["ablation"], own.get("base")) == ("my/own.yaml", None)
    assert (
        ablation_options("ablate-keypoints", data, "ABLATION=my/own.yaml", "PRESET=cpu")["base"] == "configs/cpu.yaml"
    )


def test_both_train_roots_are_read(drawn: Path) -> None:
    text = subprocess.run(
        [
            "make",
            "--no-print-directory",
            "-n",
            "submit",
            f"DATA={drawn}/train {drawn}/more",
            f"TEST={drawn}/test",
            f"RUN={drawn}/run",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert text.count(f"--data {drawn}/train {drawn}/more") == 3


def test_a_schema_of_your_own_is_passed_to_every_step(drawn: Path) -> None:
    command = ["make", "--no-print-directory", "-n", "submit", "check", f"DATA={drawn}/train", f"TEST={drawn}/test"]
    command += [f"RUN={drawn}/run", "SCHEMA=own.yaml"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert text.count("--schema own.yaml") == 5


def test_data_of_another_layout_need_no_csv(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"picture")
    (tmp_path / "two words.txt").write_text("note")
    data = (f"DATA={tmp_path}", f"TEST={tmp_path}", "LAYOUT=mine:layout")
    found = planned(*data)
    assert (found["data"], found["layout"]) == (str(tmp_path), "mine:layout")
    assert planned(*data[:2], "LAYOUT=mine:other")["keypoints"] != found["keypoints"]
    (tmp_path / "a.jpg").write_bytes(b"another picture")
    assert planned(*data)["keypoints"] == found["keypoints"]
    (tmp_path / "garments.json").write_text("[]")
    assert planned(*data)["keypoints"] != found["keypoints"]
    command = ["make", "--no-print-directory", "-n", "check", "train-detector", "ablate-keypoints", *data]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.replace("\\\n", " ").splitlines() if "-m pipeline" in line]
    assert len(lines) == 3
    assert all("--layout mine:layout" in line for line in lines)
