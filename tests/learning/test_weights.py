"""Checkpoints: plain content, refused when they are not what is asked for."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.contract.schema import Schema
from pipeline.learning.weights import load_checkpoint, save_checkpoint


def test_round_trip_and_float16(tmp_path: Path, schema: Schema) -> None:
    file = tmp_path / "a" / "x.pt"
    state = {"w": torch.tensor([1.5, -2.25]), "half": torch.tensor([0.5], dtype=torch.float16), "n": torch.tensor(3)}
    save_checkpoint(file, "detector", schema, {"lr": 0.1}, state, {"train_ids": ["a"], "fold": None})
    read = load_checkpoint(file, "detector", schema)
    assert read["config"] == {"lr": 0.1}
    assert read["extra"] == {"train_ids": ["a"], "fold": None}
    assert torch.equal(read["state_dict"]["w"], state["w"])
    assert read["state_dict"]["half"].dtype == torch.float32
    assert read["state_dict"]["n"].dtype == torch.int64
    assert [p.name for p in file.parent.iterdir()] == ["x.pt"]


def test_errors_name_the_file_and_what_was_expected(tmp_path: Path, schema: Schema) -> None:
    file = tmp_path / "x.pt"
    save_checkpoint(file, "detector", schema, {}, {"w": torch.zeros(1000)})
    with pytest.raises(
        ValueError, match=r"x\.pt: a checkpoint of the detector stage, expected one of the keypoints stage"
    ):
        load_checkpoint(file, "keypoints", schema)
    other = replace(schema, name="mine")
    with pytest.raises(ValueError, match=r"trained for schema fashionai with 24 keypoints .*expected mine"):
        load_checkpoint(file, "detector", other)
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        load_checkpoint(file, "detector", schema)
    torch.save({"state_dict": {}}, file)
    with pytest.raises(ValueError, match="not a checkpoint of this project"):
        load_checkpoint(file, "detector", schema)
    with pytest.raises(ValueError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "none.pt", "detector", schema)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"image_id,category\n1,2\n",
        b"\xff\xd8\xff\xe0\x00\x10JFIF",
        b"12\n",
        pickle.dumps({"format": 1}),
        pickle.dumps(Path("x")),
    ],
    ids=["empty", "csv", "jpeg", "number", "pickle", "code"],
)
def test_files_of_another_kind(tmp_path: Path, schema: Schema, content: bytes) -> None:
    file = tmp_path / "x.pt"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.pt: not a readable checkpoint \(\w+\); train it again"):
        load_checkpoint(file, "detector", schema)


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, schema: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.pt"
    save_checkpoint(file, "detector", schema, {}, {"w": torch.zeros(3)})

    def full(content: dict, path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="failed writing"):
        save_checkpoint(file, "detector", schema, {}, {"w": torch.ones(3)})
    assert [p.name for p in tmp_path.iterdir()] == ["x.pt"]
    assert load_checkpoint(file, "detector", schema)["state_dict"]["w"].tolist() == [0, 0, 0]
