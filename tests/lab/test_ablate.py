"""Ablations through the command line: the smallest real runs, kept, divided, collapsed, failed."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from garment_keypoints.keypoints.collapse import CollapseError
from garment_keypoints.pipeline import train
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import alone, file_hash
from garment_keypoints.pipeline.lab.ablation import costs
from garment_keypoints.pipeline.lab.ablation.bench import KeypointsBench

from tests.commands.running import run
from tests.lab.running import TINY

FLIP = {"keypoints.augment.flip": 0}


@pytest.fixture(scope="module")
def small(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder after train-detector and boxes, with the smallest backbone."""
    folder = tmp_path_factory.mktemp("small")
    for verb in ("train-detector", "boxes"):
        assert run(verb, *TINY, "--data", drawn / "train", "--run", folder) == 0
    return folder


@pytest.fixture
def folder(small: Path, tmp_path: Path) -> Path:
    """A run folder with the detectors and boxes of the base, and no ablation."""
    return Path(shutil.copytree(small, tmp_path / "run"))


@pytest.fixture(scope="module")
def base_made(small: Path, drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(small, tmp_path_factory.mktemp("base") / "run"))
    assert ablate(ablation(folder, {"name": "base"}), drawn, folder) == 0
    return folder


@pytest.fixture
def begun(base_made: Path, tmp_path: Path) -> Path:
    """A run folder where the run of the row `base` with seed 0 is done."""
    return Path(shutil.copytree(base_made, tmp_path / "run"))


@pytest.fixture(autouse=True)
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the networks that are trained, detectors first by fold; measurements are short, and nobody waits long."""
    names: list[str] = []

    def noting(function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*given: Any) -> None:
            names.append(next(one.stem for one in given if isinstance(one, Path)))
            function(*given)

        return noted

    for name in ("train_keypoints", "train_detector"):
        monkeypatch.setattr(train, name, noting(getattr(train, name)))
    monkeypatch.setattr(costs, "SECONDS", 0.01)
    return names


def ablation(folder: Path, *rows: dict[str, Any], stage: str = "keypoints", **more: Any) -> Path:
    file = folder.parent / "mine.yaml"
    content = {"stage": stage, "base": TINY[1], "rows": list(rows)} | more
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


def ablate(file: Path, drawn: Path, folder: Path, *options: object) -> int:
    return run("ablate", "--ablation", file, "--data", drawn / "train", "--run", folder, *options)


def table(folder: Path) -> dict[str, dict[str, str]]:
    return {row["row"]: row for row in csv.DictReader((folder / "mine.csv").read_text().splitlines())}


def column(folder: Path, name: str) -> list[str]:
    return [row[name] for row in table(folder).values()]


def two_rows(folder: Path) -> Path:
    return ablation(folder, {"name": "base"}, {"name": "no_flip", "set": FLIP})


def test_two_rows_are_trained_scored_and_kept(
    drawn: Path, begun: Path, trainings: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder, file = begun, two_rows(begun)
    caplog.set_level("INFO")
    assert ablate(file, drawn, folder, "--seeds", 2, "--only", "1/2") == 0
    assert trainings == ["base-seed1"]
    assert column(folder, "state") == ["done", "pending"]
    assert "run 1 of 4: base, seed 0" in caplog.text
    assert "run 3 of 4: base, seed 1" in caplog.text
    assert ablate(file, drawn, folder, "--seeds", 2, "--only", "2/2") == 0
    assert trainings == ["base-seed1", "no_flip-seed0", "no_flip-seed1"]
    names = ["base-seed0", *trainings]
    records = [json.loads((folder / "keypoints" / f"{name}.json").read_text()) for name in names]
    assert [r["settings"]["keypoints"]["train"]["seed"] for r in records] == [0, 1, 0, 1]
    assert [r["settings"]["keypoints"]["augment"]["flip"] for r in records] == [0.5, 0.5, 0, 0]
    assert len({r["outputs"][f"{name}.safetensors"] for r, name in zip(records, names, strict=True)}) == 4
    nes = [r["figures"]["val"]["out_of_fold_boxes"]["ne"] for r in records]
    means = column(folder, "ne_mean")
    assert [float(mean) for mean in means] == pytest.approx([sum(nes[:2]) / 2, sum(nes[2:]) / 2])
    true = [r["figures"]["val"]["true_boxes"]["ne"] for r in records]
    assert float(table(folder)["base"]["ne_true_boxes_mean"]) == pytest.approx(sum(true[:2]) / 2)
    assert all(
        float(cost) > 0 for name in ("gflops", "parameters_millions", "training_s") for cost in column(folder, name)
    )
    assert (folder / "mine.png").read_bytes().startswith(b"\x89PNG")
    before = {name: (folder / f"mine.{name}").read_bytes() for name in ("csv", "md", "png")}
    assert ablate(file, drawn, folder, "--seeds", 2) == 0
    assert len(trainings) == 3
    assert before == {name: (folder / f"mine.{name}").read_bytes() for name in before}


def test_what_was_made_elsewhere_is_not_made_again(
    drawn: Path, begun: Path, tmp_path: Path, trainings: list[str], capsys: pytest.CaptureFixture
) -> None:
    assert ablate(two_rows(begun), drawn, begun, "--seeds", 2, "--only", "1/4") == 0
    there, elsewhere = begun / "mine.json", tmp_path / "elsewhere" / "run"
    elsewhere.mkdir(parents=True)
    assert list(json.loads(there.read_text())["rows"]) == ["base"]
    assert ablate(two_rows(elsewhere), drawn, elsewhere, "--known", there, "--seeds", 2, "--only", "1/4") == 0
    assert trainings == []
    assert column(elsewhere, "seeds_done") == ["1", "0"]
    assert table(elsewhere) == table(begun)
    assert there.read_bytes() == (elsewhere / "mine.json").read_bytes()
    other = ablation(elsewhere, {"name": "base", "set": FLIP})
    assert ablate(other, drawn, elsewhere, "--known", there) == 1
    assert (
        f"{there}: row base was made with other settings than the ablation's (keypoints.augment.flip was 0.5, now 0"
        in (capsys.readouterr().err)
    )
    assert ablate(two_rows(elsewhere), drawn, tmp_path / "few", "--known", there, "--limit", 4) == 1
    assert f"{there} is of other training images than those of --data" in capsys.readouterr().err


def collapsing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    trained = train.train_keypoints

    def fails_without_flip(*given: Any) -> None:
        if given[3].augment.flip == 0:
            raise error
        trained(*given)

    monkeypatch.setattr(train, "train_keypoints", fails_without_flip)


def test_a_collapsed_run_does_not_stop_the_others_and_is_not_tried_again(
    drawn: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, trainings: list[str]
) -> None:
    file = ablation(folder, {"name": "no_flip", "set": FLIP}, {"name": "base"})
    with monkeypatch.context() as patch:
        collapsing(patch, CollapseError("all alike"))
        assert ablate(file, drawn, folder) == 0
    assert column(folder, "state") == ["collapsed", "done"]
    assert column(folder, "message") == ["all alike", ""]
    assert all(column(folder, "commit"))
    assert "- no_flip, seed 0: collapsed: all alike" in (folder / "mine.md").read_text()
    assert json.loads((folder / "studies" / "mine" / "no_flip-seed0.json").read_text())["message"] == "all alike"
    assert ablate(file, drawn, folder) == 0
    assert trainings == ["base-seed0"]


def test_a_failed_run_does_not_stop_the_others_and_is_tried_again(
    drawn: Path, begun: Path, monkeypatch: pytest.MonkeyPatch, trainings: list[str]
) -> None:
    folder = begun
    file = ablation(folder, {"name": "no_flip", "set": FLIP}, {"name": "base"})
    with monkeypatch.context() as patch:
        collapsing(patch, UserError("no room"))
        assert ablate(file, drawn, folder) == 1
    assert column(folder, "state") == ["failed", "done"]
    assert ablate(file, drawn, folder) == 0
    assert trainings == ["no_flip-seed0"]
    assert column(folder, "state") == ["done", "done"]


def test_faults_of_all_rows_come_before_anything_runs(
    drawn: Path, folder: Path, capsys: pytest.CaptureFixture, trainings: list[str]
) -> None:
    without = {"keypoints.network.backbone": "resnet18", "keypoints.network.backbone_weights": "package"}
    rows = [
        {"name": "good"},
        {"name": "unbuilt", "set": without},  # has no packaged weights
        {"name": "spread", "set": {"keypoints.train.devices": 2}},
    ]
    file = ablation(folder, *rows)
    assert ablate(file, drawn, folder) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "error: 2 faults:"
    assert lines[1].startswith(f"  {file}: row unbuilt: no packaged weights for 'resnet18'")
    assert lines[2].startswith(f"  {file}: row spread: keypoints.train.devices is '2'")
    assert (trainings, (folder / "mine.csv").exists()) == ([], False)
    assert ablate(two_rows(folder), drawn, folder, "--seeds", -1) == 1
    assert "--seeds is -1; expected" in capsys.readouterr().err


def test_a_row_of_other_boxes_has_its_own_and_shares_them(drawn: Path, folder: Path, trainings: list[str]) -> None:
    margin = {"detector.margin": 0.2}
    file = ablation(folder, {"name": "wide", "set": margin}, {"name": "wide_no_flip", "set": margin | FLIP})
    assert ablate(file, drawn, folder) == 0
    assert trainings == ["fold0", "fold1", "wide-seed0", "wide_no_flip-seed0"]
    (own,) = (folder / "detectors").iterdir()
    assert (own / "folds.csv").read_bytes() == (folder / "folds.csv").read_bytes()
    assert json.loads((own / "boxes.json").read_text())["settings"]["detector"]["margin"] == 0.2


def test_given_boxes_serve_all_rows(drawn: Path, begun: Path, tmp_path: Path, trainings: list[str]) -> None:
    folder = tmp_path / "few"
    assert ablate(ablation(folder, {"name": "base"}), drawn, folder, "--boxes", begun / "boxes.csv") == 0
    assert trainings == ["base-seed0"]
    assert not (folder / "detector").exists()
    assert column(folder, "inputs") == column(begun, "inputs")


@pytest.mark.parametrize("stage", ["keypoints", "detector"])
def test_given_boxes_and_rows_of_others(
    drawn: Path, folder: Path, stage: str, trainings: list[str], capsys: pytest.CaptureFixture
) -> None:
    file = ablation(folder, {"name": "base"}, {"name": "wide", "set": {"detector.margin": 0.2}}, stage=stage)
    assert ablate(file, drawn, folder, "--boxes", folder / "boxes.csv") == 1
    assert "expected none, since this ablation trains detectors (row wide changes theirs)" in capsys.readouterr().err
    assert trainings == []


def test_a_run_of_other_settings_or_boxes_is_refused(drawn: Path, begun: Path, capsys: pytest.CaptureFixture) -> None:
    folder = begun
    assert ablate(ablation(folder, {"name": "base", "set": FLIP}), drawn, folder) == 1
    error = capsys.readouterr().err
    assert (
        "keypoints/base-seed0.json is of other settings than the ablation's (keypoints.augment.flip was 0.5, now 0"
        in error
    )
    boxes = folder / "boxes.csv"
    boxes.write_text(boxes.read_text().replace(",0.000,", ",1.000,", 1))
    assert ablate(ablation(folder, {"name": "base"}), drawn, folder) == 1
    assert "was made from other inputs than those that are there (boxes was" in capsys.readouterr().err


def test_a_run_of_a_version_with_fewer_settings_is_kept(drawn: Path, begun: Path, trainings: list[str]) -> None:
    for file in ("boxes.json", "keypoints/base-seed0.json"):
        record = json.loads((begun / file).read_text())
        del record["settings"]["keypoints"]["crop"]["val_boxes"]
        record["settings"]["detector"]["flip_test"] = False  # which is gone
        (begun / file).write_text(json.dumps(record))
    assert ablate(ablation(begun, {"name": "base"}), drawn, begun) == 0
    assert trainings == []


def test_a_run_of_another_process_is_left_to_it(drawn: Path, begun: Path, trainings: list[str]) -> None:
    with alone(begun / "keypoints" / "no_flip-seed0.safetensors"):
        assert ablate(two_rows(begun), drawn, begun) == 0
    assert trainings == []
    assert column(begun, "state") == ["done", "pending"]


def test_an_ablation_of_the_detector(drawn: Path, folder: Path, trainings: list[str]) -> None:
    row = {"name": "naive", "set": {"detector.partial_labels": False}}
    file = ablation(folder, {"name": "base"}, row, stage="detector")
    assert ablate(file, drawn, folder) == 0
    assert trainings == ["fixed", "fold0", "fold1"]
    own = folder / "detectors" / "naive-seed0"
    for place, line in zip((folder, own), table(folder).values(), strict=True):
        boxes = json.loads((place / "boxes.json").read_text())["figures"]["val"]
        scored = json.loads((place / "fixed.json").read_text())["figures"]["val"]
        assert float(line["ap50_mean"]) == pytest.approx(boxes["ap50"], abs=1e-6)
        assert float(line["contained_in_square_mean"]) == pytest.approx(boxes["contained_in_square"], abs=1e-6)
        assert float(line["ne_mean"]) == pytest.approx(scored["ne"], abs=1e-6)
        assert float(line["gflops"]) > 0
    fixed = json.loads((folder / "keypoints" / "fixed.json").read_text())["figures"]["val"]
    assert float(table(folder)["base"]["ne_mean"]) == pytest.approx(fixed["out_of_fold_boxes"]["ne"], abs=1e-6)
    assert ablate(file, drawn, folder) == 0
    assert len(trainings) == 3


def test_a_network_of_whole_images_has_one_figure() -> None:
    whole = {"ne": 12.0, "by_category": {"skirt": 3.0}}
    figures = KeypointsBench.figures(None, [{"figures": {"val": {"whole_images": whole}}}])  # type: ignore[arg-type]
    assert figures == {"ne": 12.0, "ne_true_boxes": None, "skirt": 3.0}
    val = {"out_of_fold_boxes": whole, "true_boxes": {"ne": 9.0, "by_category": {"skirt": 2.0}}}
    assert KeypointsBench.figures(None, [{"figures": {"val": val}}])["ne_true_boxes"] == 9.0  # type: ignore[arg-type]


@pytest.mark.slow
def test_rows_of_other_boxes_share_them(drawn: Path, begun: Path, trainings: list[str], capsys) -> None:
    """An ablation writes the boxes in sample that its rows ask for, once; other boxes come from a file that a row names."""
    file = begun.parent / "other.csv"
    file.write_text((begun / "boxes.csv").read_text())
    rows = [{"name": "seen", "boxes": "in_sample"}, {"name": "other", "boxes": file.name}]
    assert ablate(ablation(begun, {"name": "base"}, *rows), drawn, begun) == 0
    assert trainings == ["seen-seed0", "other-seed0"]
    assert column(begun, "state") == ["done"] * 3
    made_from = column(begun, "inputs")
    assert "learned_boxes" not in made_from[0]
    digests = [file_hash(one)[:8] for one in (begun / "boxes_in_sample.csv", file)]
    assert [one.split("learned_boxes ")[1] for one in made_from[1:]] == digests
    known = json.loads((begun / "mine.json").read_text())["rows"]
    assert [known[name]["settings"] for name in ("seen", "other")] == [{"boxes": "in_sample"}, {"boxes": "other.csv"}]
    # A row that learns in other boxes now is another run.
    assert ablate(ablation(begun, {"name": "base"}, {"name": "seen"}), drawn, begun) == 1
    assert "was made from other inputs than those that are there (learned_boxes was " in capsys.readouterr().err
