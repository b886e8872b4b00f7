"""The file of an ablation: what a row's settings become, and every fault with file, row, setting and what was expected."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.lab.ablation.definition import Ablation, read_ablation, with_seed
from garment_keypoints.pipeline.settings import Settings

TINY = Path(__file__).parent.parent / "tiny.yaml"


def write(folder: Path, rows: Any, stage: str = "keypoints", **more: Any) -> Path:
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump({"stage": stage, "base": str(TINY), "rows": rows, **more}, sort_keys=False))
    return file


def read(file: Path, **options: Any) -> Ablation:
    return read_ablation(file, Settings, **options)


def test_settings_come_from_base_config_common_and_set_in_this_order(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(
        "format: 2\nkeypoints:\n  crop: {size: 96, padding: 0.3}\n  train: {epochs: 9, lr: 1e-4}\n"
    )
    rows = [
        {"name": "first"},
        {
            "name": "other",
            "config": "other.yaml",
            "set": {"keypoints.crop.padding": 0.4, "keypoints.augment": {"flip": 0}},
        },
    ]
    ablation = read(write(tmp_path, rows, common={"keypoints.train.epochs": 3}, seeds=2))
    first, other = (row.settings.keypoints for row in ablation.rows)
    assert (ablation.name, ablation.stage, ablation.seeds) == ("mine", "keypoints", 2)
    assert (first.crop.size, first.crop.padding, first.train.epochs, first.network.channels) == (64, 0.15, 3, 16)
    assert (other.crop.size, other.crop.padding, other.train.epochs, other.network.channels) == (96, 0.4, 3, 16)
    assert (other.train.lr, other.augment.flip) == (1e-4, 0.0)
    assert ablation.base == ablation.rows[0].settings
    assert [row.overrides for row in ablation.rows] == [
        "",
        "other.yaml, keypoints.crop.padding=0.4, keypoints.augment.flip=0",
    ]


def test_a_base_and_a_schema_from_the_command_line_win(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("format: 2\nkeypoints: {crop: {size: 96}}\n")
    ablation = read(write(tmp_path, [{"name": "a"}]), base=tmp_path / "base.yaml", common={"schema": "own.yaml"})
    assert ablation.rows[0].settings.keypoints.crop.size == 96
    assert ablation.rows[0].settings.schema == "own.yaml"
    with pytest.raises(UserError, match=r"^--base is 'none.yaml'; expected a preset that exists$"):
        read(write(tmp_path, [{"name": "a"}]), base=Path("none.yaml"))


def test_a_seed_is_that_of_the_stage_alone(tmp_path: Path) -> None:
    settings = read(write(tmp_path, [{"name": "a"}])).base
    seeded = with_seed(settings, "keypoints", 3)
    assert (seeded.keypoints.train.seed, seeded.detector.train.seed) == (3, 0)
    assert with_seed(settings, "detector", 3).detector.train.seed == 3


ROW_FAULTS = {
    "unknown setting": (
        {"set": {"keypoints.augment.flop": 0}},
        "keypoints.augment.flop is no setting; expected one of key",
    ),
    "unknown group": ({"set": {"points.flip": 0}}, "points.flip is no setting; expected one of format, detector, "),
    "below a setting": (
        {"set": {"keypoints.crop.size.x": 0}},
        "keypoints.crop.size is {'x': 0}; expected a whole number",
    ),
    "wrong type": (
        {"set": {"keypoints.augment.flip": "no way"}},
        "keypoints.augment.flip is 'no way'; expected a number",
    ),
    "a truth value": ({"set": {"keypoints.augment.flip": False}}, "keypoints.augment.flip is False; expected a number"),
    "empty": ({"set": {"keypoints.crop.size": None}}, "keypoints.crop.size is None; expected a whole number"),
    "no group": ({"set": {"keypoints.crop": 3}}, "keypoints.crop is 3; expected a group of settings"),
    "out of range": ({"set": {"keypoints.augment.flip": 3}}, "keypoints.augment.flip is 3.0; expected 0 to 1"),
    "unfitting parts": (
        {"set": {"keypoints.codec.name": "coordinates"}},
        "keypoints.codec.name is 'coordinates'; head fpn ",
    ),
    "unknown key": ({"sett": {}}, "sett is no key of an ablation; expected name, set, config"),
    "no settings": ({"set": 3}, "set is 3; expected settings by name"),
    "missing config": ({"config": "none.yaml"}, "config is 'none.yaml'; expected a file, relative to this one"),
    "a seed": ({"set": {"keypoints.train.seed": 1}}, "keypoints.train.seed is 1; expected no seed here"),
    "other folds": ({"set": {"folds": 5}}, "folds is 5; expected 2, as in all rows"),
}


@pytest.mark.parametrize("kind", ROW_FAULTS)
def test_faults_of_a_row(tmp_path: Path, kind: str) -> None:
    row, message = ROW_FAULTS[kind]
    file = write(tmp_path, [{"name": "good"}, {"name": "bad", **row}])
    with pytest.raises(UserError) as caught:
        read(file)
    assert str(caught.value).startswith(f"{file}: row bad")
    assert message in str(caught.value)


FILE_FAULTS = {
    "unknown key": ({"row": []}, "row is no key of an ablation; expected stage, base, common, seeds, rows"),
    "stage": ({"stage": "both"}, "stage is 'both'; expected one of detector, keypoints"),
    "no base": ({"base": None}, "base is None; expected a preset"),
    "missing base": ({"base": "none.yaml"}, "base is 'none.yaml'; expected a preset that exists"),
    "no rows": ({"rows": []}, "rows is []; expected a list of at least one row"),
    "rows by name": ({"rows": {"a": {}}}, "rows is {'a': {}}; expected a list"),
    "a row of text": ({"rows": ["a"]}, "row 1 is 'a'; expected name, and set or config"),
    "no name": ({"rows": [{"set": {}}]}, "row 1: name is None; expected letters, digits, - and _"),
    "a name as a path": ({"rows": [{"name": "../a"}]}, "row 1: name is '../a'; expected letters"),
    "a name twice": ({"rows": [{"name": "a"}, {"name": "A"}]}, "row A: name is that of an earlier row"),
    "seeds": ({"seeds": 0}, "seeds is 0; expected a whole number of 1 to 1000"),
    "common": (
        {"common": {"keypoints.lr": 1}},
        "common: keypoints.lr is no setting; expected one of keypoints.network",
    ),
    "common list": ({"common": [1]}, "common is [1]; expected settings by name"),
    "common value": (
        {"common": {"keypoints.crop.size": 65}},
        "base and common: keypoints.crop.size is 65; expected a mult",
    ),
}


@pytest.mark.parametrize("kind", FILE_FAULTS)
def test_faults_of_the_file(tmp_path: Path, kind: str) -> None:
    changed, message = FILE_FAULTS[kind]
    file = tmp_path / "mine.yaml"
    content = {"stage": "keypoints", "base": str(TINY), "rows": [{"name": "a"}]} | changed
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError) as caught:
        read(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert message in str(caught.value)


def test_every_row_with_a_fault_is_named(tmp_path: Path) -> None:
    rows = [{"name": "a", "set": {"x": 1}}, {"name": "b"}, {"name": "c", "set": {"y": 1}}]
    with pytest.raises(UserError) as caught:
        read(write(tmp_path, rows))
    text = str(caught.value).splitlines()
    assert text[0] == "2 faults:"
    assert [line.split(": ")[1] for line in text[1:]] == ["row a", "row c"]


def test_an_ablation_of_the_detector_keeps_its_keypoint_network(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"row a: set: keypoints.crop.size is 96; expected settings of the detector"):
        read(write(tmp_path, [{"name": "a", "set": {"keypoints.crop.size": 96}}], stage="detector"))


def test_tables_never_overwrite_the_boxes(tmp_path: Path) -> None:
    file = write(tmp_path, [{"name": "a"}]).rename(tmp_path / "boxes.yaml")
    with pytest.raises(UserError, match="an ablation is named after its file; expected"):
        read(file)


def test_a_base_of_format_1_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text("keypoints: {lr: 0.1}\n")
    with pytest.raises(UserError, match=r"old.yaml: format 1, expected 2"):
        read(write(tmp_path, [{"name": "a"}], base="old.yaml"))


ABLATIONS = Path(__file__).parents[2] / "pipeline" / "lab" / "configs" / "ablations"


@pytest.mark.parametrize("file", sorted(ABLATIONS.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_ablations_of_the_project_can_be_read(file: Path) -> None:
    ablation = read(file)
    assert len({str(row.settings) for row in ablation.rows}) == len(ablation.rows)


def test_a_row_may_learn_in_other_boxes(tmp_path: Path) -> None:
    (tmp_path / "other.csv").touch()
    rows = [
        {"name": "a"},
        {"name": "b", "boxes": "in_sample"},
        {"name": "c", "boxes": "other.csv", "set": {"folds": 2}},
    ]
    ablation = read(write(tmp_path, rows))
    assert [row.boxes for row in ablation.rows] == ["", "in_sample", "other.csv"]
    assert [row.overrides for row in ablation.rows] == ["", "boxes=in_sample", "folds=2, boxes=other.csv"]
    assert ablation.rows[2].folder / "other.csv" == tmp_path / "other.csv"
    for boxes in ("none.csv", "two_pass", 3):
        with pytest.raises(UserError, match=r"row b: boxes is .*; expected in_sample, or a file of boxes, relative to"):
            read(write(tmp_path, [{"name": "b", "boxes": boxes}]))
    truth = {"name": "b", "boxes": "in_sample", "set": {"keypoints.crop.train_boxes": "truth"}}
    for row, stage in ((truth, "keypoints"), (rows[1], "detector")):
        with pytest.raises(
            UserError, match="row b: boxes is 'in_sample'; expected none, since the row learns in others"
        ):
            read(write(tmp_path, [row], stage=stage))
