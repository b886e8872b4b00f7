"""Weights: what is written comes back, older files too; anything else is refused by name, and nothing in it runs."""

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from garment_keypoints.detector.inference import load_detector
from garment_keypoints.keypoints.inference import load_locator
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.training_ids import ids_digest, training_ids
from garment_keypoints.pipeline.learning.weights import FORMAT, fill, load_checkpoint, save_checkpoint, upgrade
from safetensors import safe_open
from torch import nn

from tests.contract.test_files import no_file_larger_than

ROOT = Path(__file__).parent.parent.parent
OLD = ROOT / "tests" / "data" / "detector_format1.pt"
"""A small fold detector by the code of bd38626 (format 1, flat config)."""


def save(file: Path, schema: Schema, state: dict | None = None, **more: object) -> Path:
    options = {"train_ids": ["b", "a"], "fold": 0} | more
    save_checkpoint(file, "detector", schema, {"lr": 0.1}, state or {"w": torch.arange(3.0)}, **options)
    return file


def header(file: Path) -> dict:
    with safe_open(file, "pt") as opened:
        return {key: json.loads(value) for key, value in opened.metadata().items()}


def rewrite(file: Path, **changed: object) -> None:
    """Write the file again with another header."""
    metadata = {key: json.dumps(value) for key, value in (header(file) | changed).items()}
    file.write_bytes(safetensors.torch.save(safetensors.torch.load(file.read_bytes()), metadata))


class Attack:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return Path.touch, (self.mark,)


def test_round_trip_and_float16(tmp_path: Path, schema: Schema) -> None:
    state = {
        "w": torch.tensor([1.5, -2.25]),
        "half": torch.tensor([0.5], dtype=torch.float16),
        "n": torch.tensor(3),
        "last": torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last),
    }
    file = save(tmp_path / "a" / "fold0.safetensors", schema, state, provenance={"commit": "abc"})
    read = load_checkpoint(file, "detector", schema)
    assert read["state_dict"]["half"].dtype == torch.float32
    assert read["state_dict"]["n"].dtype == torch.int64
    assert all(torch.equal(read["state_dict"][key], value.to(read["state_dict"][key])) for key, value in state.items())
    assert training_ids(file, read) == ["a", "b"]
    assert sorted(p.name for p in file.parent.iterdir()) == ["fold0.ids.txt", "fold0.safetensors"]
    assert header(file) == {
        "format": FORMAT,
        "stage": "detector",
        "schema": schema.to_dict(),
        "config": {"lr": 0.1},
        "config_format": 2,
        "provenance": {"commit": "abc"},
        "name": "fold0",
        "fold": 0,
        "train_ids_digest": ids_digest(["b", "a"]),
        "train_ids_count": 2,
    }


def test_what_the_network_had_seen_that_it_started_from_is_listed_too(tmp_path: Path, schema: Schema) -> None:
    file = save(tmp_path / "final.safetensors", schema, fold=None, seen=["c", "a"])
    assert training_ids(file, load_checkpoint(file, "detector", schema)) == ["a", "b", "c"]


def test_no_list_of_images_where_not_all_are_known(tmp_path: Path, schema: Schema) -> None:
    save(tmp_path / "final.safetensors", schema, fold=None, seen=None)
    assert [p.name for p in tmp_path.iterdir()] == ["final.safetensors"]


def test_the_list_of_images_is_checked(tmp_path: Path, schema: Schema) -> None:
    file = save(tmp_path / "fold0.safetensors", schema)
    content = load_checkpoint(file, "detector", schema)
    (tmp_path / "fold0.ids.txt").write_text("a\nc\n")
    with pytest.raises(
        ValueError, match=r"fold0\.ids\.txt: 2 ids that are not the 2 that fold0\.safetensors .*copy it"
    ):
        training_ids(file, content)
    (tmp_path / "fold0.ids.txt").unlink()
    with pytest.raises(
        ValueError, match=r"fold0\.ids\.txt: missing, the list .*copy it together with fold0\.safetensors"
    ):
        training_ids(file, content)


def test_errors_name_the_file_and_what_was_expected(tmp_path: Path, schema: Schema) -> None:
    file = save(tmp_path / "x.safetensors", schema)
    with pytest.raises(
        ValueError, match=r"x\.safetensors: a checkpoint of the detector stage, expected one of the keyp"
    ):
        load_checkpoint(file, "keypoints", schema)
    with pytest.raises(ValueError, match=r"trained for schema fashionai with 24 keypoints .*expected mine"):
        load_checkpoint(file, "detector", replace(schema, name="mine"))
    rewrite(file, format=FORMAT + 1)
    with pytest.raises(ValueError, match=rf"x\.safetensors: weights of format {FORMAT + 1}, this version reads up to"):
        load_checkpoint(file, "detector", schema)
    with pytest.raises(ValueError, match="no such file; train one"):
        load_checkpoint(tmp_path / "none.safetensors", "detector", schema)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"format": "2"}])
def test_safetensors_of_others(tmp_path: Path, schema: Schema, metadata: dict | None) -> None:
    file = tmp_path / "x.safetensors"
    file.write_bytes(safetensors.torch.save({"w": torch.zeros(3)}, metadata))
    with pytest.raises(ValueError, match=r"x\.safetensors: not a checkpoint of this project"):
        load_checkpoint(file, "detector", schema)


def test_torch_files_of_others(tmp_path: Path, schema: Schema) -> None:
    file = tmp_path / "last.ckpt"
    for content in ({"state_dict": {}}, {"format": 1, "extra": {}}, [1], torch.zeros(3)):
        torch.save(content, file)
        with pytest.raises(
            ValueError, match=r"last\.ckpt: not a checkpoint of this project.*only resumes that training"
        ):
            load_checkpoint(file, "detector", schema)


@pytest.mark.parametrize("kept", [0, 4, 500, -1])
def test_truncated(tmp_path: Path, schema: Schema, kept: int) -> None:
    for file in (save(tmp_path / "x.safetensors", schema), Path(shutil.copy(OLD, tmp_path / "x.pt"))):
        file.write_bytes(file.read_bytes()[:kept])
        with pytest.raises(
            ValueError, match=rf"{file.name}: (damaged|not readable as weights).*copy it again, or train"
        ):
            load_checkpoint(file, "detector", schema)


@pytest.mark.parametrize(
    "content",
    [b"image_id,category\n1,2\n", b"\xff\xd8\xff\xe0\x00\x10JFIF", b"12\n", pickle.dumps({"format": 1}), b"PK\x03\x04"],
    ids=["csv", "jpeg", "number", "pickle", "zip"],
)
def test_files_of_another_kind(tmp_path: Path, schema: Schema, content: bytes) -> None:
    file = tmp_path / "x.pt"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.pt: (damaged, or no file of weights|not readable as weights)"):
        load_checkpoint(file, "detector", schema)


@pytest.mark.parametrize("by_torch", [True, False])
def test_code_is_not_run(tmp_path: Path, schema: Schema, by_torch: bool) -> None:
    file, mark = tmp_path / "x.pt", tmp_path / "mark"
    if by_torch:
        torch.save({"format": 1, "stage": Attack(mark)}, file)
    else:
        file.write_bytes(pickle.dumps(Attack(mark)))
    with pytest.raises(ValueError, match=r"x\.pt: (damaged|not readable as weights)"):
        load_checkpoint(file, "detector", schema)
    assert not mark.exists()
    torch.load(file, weights_only=False) if by_torch else pickle.loads(file.read_bytes())
    assert mark.exists()  # it would have


def test_tensors_are_copied() -> None:
    network, saved = (nn.Linear(2, 2) for _ in range(2))
    fill(network, saved.state_dict(), Path("x"))
    assert torch.equal(network.weight, saved.weight)
    assert torch.equal(network.bias, saved.bias)


def test_tensors_that_do_not_fit(tmp_path: Path) -> None:
    network = nn.Linear(2, 3)
    with pytest.raises(ValueError, match=r"x: 2 tensors do not fit .*bias is missing; odd is not in the network"):
        fill(network, {"weight": torch.zeros(3, 2), "odd": torch.zeros(1)}, Path("x"))
    with pytest.raises(ValueError, match=r"weight is \(2, 2\), expected \(3, 2\)"):
        fill(network, {"weight": torch.zeros(2, 2), "bias": torch.zeros(3)}, Path("x"))


def test_weights_that_are_not_finite(tmp_path: Path, schema: Schema) -> None:
    file = tmp_path / "x.safetensors"
    with pytest.raises(ValueError, match=r"x\.safetensors: tensor w is not finite; nothing was written"):
        save(file, schema, {"w": torch.tensor([1.0, torch.nan])})
    assert not list(tmp_path.iterdir())
    save(file, schema)
    metadata = {key: json.dumps(value) for key, value in header(file).items()}
    file.write_bytes(safetensors.torch.save({"w": torch.tensor([torch.inf])}, metadata))
    with pytest.raises(ValueError, match=r"x\.safetensors: tensor w is not finite; damaged, or its training diverged"):
        load_checkpoint(file, "detector", schema)


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, schema: Schema) -> None:
    file = save(tmp_path / "x.safetensors", schema, fold=None)
    with no_file_larger_than(100), pytest.raises(OSError, match="File too large"):
        save(file, schema, {"w": torch.ones(3)}, fold=None)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.ids.txt", "x.safetensors"]
    assert load_checkpoint(file, "detector", schema)["state_dict"]["w"].tolist() == [0, 1, 2]


def test_an_older_file_loads_and_knows_its_images(schema: Schema) -> None:
    detector = load_detector(OLD, schema, with_ids=True)
    assert (detector.name, detector.margin, detector.network.size) == ("fold0", 0.1, 64)
    assert detector.train_ids == {"Images/blouse/b.jpg", "Images/skirt/a.jpg"}
    content = load_checkpoint(OLD, "detector", schema)
    assert (content["format"], content["config_format"], content["fold"]) == (FORMAT, 1, 0)
    assert upgrade(content) == content


def test_variances_that_had_overflowed_act_as_before(schema: Schema, tmp_path: Path) -> None:
    """The first published keypoint weights had seven infinite variances; those channels gave their bias."""
    old = torch.load(OLD, weights_only=True)
    norm = nn.BatchNorm2d(2).eval()
    norm.load_state_dict(norm.state_dict() | {"running_var": torch.tensor([4.0, torch.inf]), "bias": torch.rand(2)})
    state = {f"bn.{key}": value.half() if value.ndim else value for key, value in norm.state_dict().items()}
    norm.load_state_dict({key.removeprefix("bn."): value for key, value in state.items()})
    torch.save(old | {"state_dict": state}, tmp_path / "x.pt")
    read = load_checkpoint(tmp_path / "x.pt", "detector", schema)["state_dict"]
    images = torch.randn(1, 2, 8, 8) * 1000
    before = norm(images)
    norm.load_state_dict({key.removeprefix("bn."): value for key, value in read.items()})
    assert torch.equal(norm(images), before)


def test_the_published_weights_load(schema: Schema) -> None:
    folder = ROOT / "weights" / "cpu"
    assert load_detector(folder / "detector.safetensors", schema).name == "final"
    assert load_locator(folder / "keypoints.safetensors", schema).size_wh == (320, 320)
    for stage in ("detector", "keypoints"):
        assert header(folder / f"{stage}.safetensors")["format"] == FORMAT


def test_settings_of_a_newer_version_are_named(tmp_path: Path, schema: Schema) -> None:
    old = torch.load(OLD, weights_only=True)
    torch.save(old | {"config": old["config"] | {"cascade": 3}}, tmp_path / "x.pt")
    with pytest.raises(
        UserError, match=r"x\.pt: weights with: settings: settings that this version does not know \(cascade\)"
    ):
        load_detector(tmp_path / "x.pt", schema)


WRONG = {
    "config": [[1], None, "x"],
    "schema": [None, [], "fashionai"],
    "fold": ["0", -1, 1.5, True],
    "provenance": [[], None],
    "name": [3, None],
    "train_ids_count": ["2"],
    "config_format": ["2", None],
    "stage": [1],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_headers_of_another_kind(tmp_path: Path, schema: Schema, key: str, value: object) -> None:
    file = save(tmp_path / "x.safetensors", schema)
    rewrite(file, **{key: value})
    with pytest.raises(UserError, match=rf"x\.safetensors: not a checkpoint of this project \(by its {key}\)"):
        load_checkpoint(file, "detector", schema)


@pytest.mark.parametrize("ids", ["ab", {"a": 1}, None])
def test_training_ids_of_format_1_are_a_list(tmp_path: Path, schema: Schema, ids: object) -> None:
    old = torch.load(OLD, weights_only=True)
    torch.save(old | {"extra": old["extra"] | {"train_ids": ids}}, tmp_path / "x.pt")
    with pytest.raises(UserError, match=r"x\.pt: not a checkpoint"):
        load_checkpoint(tmp_path / "x.pt", "detector", schema)


def test_a_tensor_that_claims_more_than_it_holds(tmp_path: Path, schema: Schema) -> None:
    old = torch.load(OLD, weights_only=True)
    torch.save(old | {"state_dict": {"w": torch.zeros(1).expand(10**12)}}, tmp_path / "x.pt")
    with pytest.raises(UserError, match=r"x\.pt: not a checkpoint .*state_dict"):
        load_checkpoint(tmp_path / "x.pt", "detector", schema)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": None}, r"size is None; expected a whole number"),
        ({"size": "64"}, r"size is '64'; expected a whole number"),
        ({"size": 63}, r"detector\.network\.size is 63; expected a multiple of 32"),
        ({"margin": float("nan")}, r"detector\.margin is nan; expected 0 to 1"),
        ({"partial_labels": 1}, r"partial_labels is 1; expected true or false"),
    ],
)
def test_settings_of_weights_are_checked(tmp_path: Path, schema: Schema, change: dict, message: str) -> None:
    old = torch.load(OLD, weights_only=True)
    torch.save(old | {"config": old["config"] | change}, tmp_path / "x.pt")
    with pytest.raises(UserError, match=rf"x\.pt: weights with: .*{message}"):
        load_detector(tmp_path / "x.pt", schema)


@pytest.mark.parametrize("name", ["size", "fpn_channels", "backbone", "margin"])
def test_what_predictions_depend_on_has_no_default(tmp_path: Path, schema: Schema, name: str) -> None:
    old = torch.load(OLD, weights_only=True)
    torch.save(old | {"config": {k: v for k, v in old["config"].items() if k != name}}, tmp_path / "x.pt")
    with pytest.raises(UserError, match=rf"x\.pt: weights with: no (network\.)?{name}; publish them again"):
        load_detector(tmp_path / "x.pt", schema)
