"""Boxes of every kind: what writes them, what trains on them, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
from garment_keypoints.pipeline.commands.train_keypoints import train_in_boxes
from garment_keypoints.pipeline.contract.faults import DataError, UserError
from garment_keypoints.pipeline.contract.formats.boxes import read_boxes
from garment_keypoints.pipeline.contract.formats.yaml_files import read_yaml
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.lab.ablation.boxes import make_in_sample
from garment_keypoints.pipeline.learning.configs import restore
from garment_keypoints.pipeline.settings import Settings

from tests.commands.running import TINY, run
from tests.configs import keypoints_config


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained run, to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def boxes(drawn: Path, folder: Path, *options: object) -> int:
    return run("boxes", *TINY, "--data", drawn / "train", "--run", folder, *options)


def recorded(folder: Path, name: str) -> dict:
    return json.loads((folder / "keypoints" / f"{name}.json").read_text())


@pytest.mark.parametrize("name", ["train_boxes", "val_boxes"])
def test_kinds_that_there_are_not(name: str) -> None:
    with pytest.raises(UserError, match=rf"crop\.{name} is 'box'; expected one of out_of_fold, truth, image$"):
        keypoints_config(**{name: "box"})
    for gone in ("out_of_fold 0.7, truth 0.3", "in_sample", "two_pass"):
        with pytest.raises(UserError, match=rf"{name} is '{gone}'; expected .* were no better, and are gone"):
            keypoints_config(**{name: gone})
    with pytest.raises(UserError, match="source is image; expected no train_boxes"):
        keypoints_config(source="image", **{name: "truth"})


def test_boxes_in_sample_are_those_of_a_detector_that_saw_the_image(drawn: Path, folder: Path, schema: Schema) -> None:
    settings = restore(Settings, read_yaml(Path(TINY[1])), "tiny")
    make_in_sample(settings, [drawn / "train"], folder, 0)
    file = folder / "boxes_in_sample.csv"
    other = {box.key: box for box in read_boxes(file, schema)}
    assert {box.fold for box in other.values()} == {-1}
    for box in read_boxes(folder / "boxes.csv", schema):
        assert other[box.key].checkpoint == f"fold{1 - box.fold}"
    record = json.loads(file.with_suffix(".json").read_text())
    assert (list(record["figures"]), record["margin"]) == (["val", "in_sample"], 0.05)

    def train(name: str) -> None:
        train_in_boxes(settings, [drawn / "train"], folder, name=name, val=True, learned=file)

    train("other")
    assert set(recorded(folder, "other")["inputs"]) == {"annotations", "boxes", "learned_boxes"}
    assert list(recorded(folder, "other")["figures"]["val"]) == ["out_of_fold_boxes", "true_boxes"]
    file.write_text(file.read_text().replace(",0.000,", ",1.000,", 1))
    with pytest.raises(UserError, match=r"boxes_in_sample.csv is not what this step needs"):
        train("third")
    file.with_suffix(".json").unlink()
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DataError, match=r"boxes_in_sample.csv: no box for 1 of 20 images"):
        train("third")


def test_what_a_network_learns_in_is_what_was_given(
    drawn: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, schema: Schema
) -> None:
    """And it is watched in the boxes out of fold all the same."""
    settings = restore(Settings, read_yaml(Path(TINY[1])), "tiny")
    given: list = []
    monkeypatch.setattr(
        "garment_keypoints.pipeline.commands.train_keypoints.train.train_keypoints", lambda *them: given.extend(them)
    )
    file, moved = folder / "boxes.csv", folder / "moved.csv"
    lines = file.read_text().splitlines()
    cells = [line.split(",") for line in lines[1:]]
    moved.write_text("\n".join([lines[0], *(",".join([*one[:5], str(float(one[5]) + 7), *one[6:]]) for one in cells)]))
    with pytest.raises(UserError, match=r"other\.safetensors: no such file"):  # nothing was trained
        train_in_boxes(settings, [drawn / "train"], folder, name="other", learned=moved)
    rows, watched, learned = given[0], given[1], given[6]
    found = {box.key: box.box for box in read_boxes(file, schema)}
    for row, one, other in zip(rows, watched.boxes, learned, strict=True):
        assert one.tolist() == found[row.key].tolist()
        assert other - one == pytest.approx([0, 0, 7, 0])


def test_garments_without_a_label_are_counted_where_all_are_known(
    drawn: Path, folder: Path, tmp_path: Path, capsys
) -> None:
    """The sample knows every garment; other data do not, and a damaged list is named."""
    assert boxes(drawn, folder) == 0
    assert {"ap50_every_garment", "recall_unlabelled"} <= json.loads((folder / "boxes.json").read_text())["figures"][
        "val"
    ].keys()
    data = Path(shutil.copytree(drawn / "train", tmp_path / "train"))
    options = [*TINY, "--data", data, "--run", folder]
    file = data / "Annotations" / "all_garments.json"
    for content in ("[]", '{"a": [{"category": "hat", "box": [0, 0, 1, 1], "labelled": true}]}', '{"a": [{"box": 1}]}'):
        file.write_text(content)
        assert run("boxes", *options) == 1
        assert "all_garments.json: " in capsys.readouterr().err
    file.unlink()
    assert run("boxes", *options) == 0
    assert "recall_unlabelled" not in json.loads((folder / "boxes.json").read_text())["figures"]["val"]
