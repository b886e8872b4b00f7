"""A kit in parts, unpacked by its script."""

import os
import re
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.lab.commands.gpu_pack import ROOT, SCRIPT, Piece, divided
from garment_keypoints.pipeline.lab.gpu_kit.settings import KIT, PART, Kit
from garment_keypoints.pipeline.lab.gpu_kit.wheels import HAS, missing, names_in
from PIL import Image

from tests.commands.running import run


def pack(drawn: Path, out: Path, *options: object) -> int:
    test = drawn / "test"
    return run(
        "lab",
        "gpu-pack",
        "--data",
        drawn / "train",
        "--test",
        test,
        "--answers",
        test / "answer.csv",
        "--out",
        out,
        *options,
    )


@pytest.fixture(scope="module")
def packed(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kit for a rehearsal: eight of the training images, four of the test, in two parts or more."""
    out = tmp_path_factory.mktemp("packed") / "kit"
    assert pack(drawn, out, "--limit", 8, "--minutes", 3, "--part_mib", 20) == 0
    return out


def test_parts_are_filled_in_order(tmp_path: Path) -> None:
    pieces = []
    for name, size in (("a", 10_000), ("b", 30_000), ("c", 25_000), ("d", 1)):
        (tmp_path / name).write_bytes(b"x" * size)
        pieces.append(Piece(tmp_path / name, name))
    parts = divided(pieces, 60_000)
    assert [[piece.name for piece in part] for part in parts] == [["a", "b"], ["c", "d"]]
    with pytest.raises(UserError, match="b alone is"):
        divided(pieces, 20_000)


def test_a_kit_says_what_it_is(packed: Path, drawn: Path) -> None:
    parts = sorted(packed.iterdir())
    assert [part.name for part in parts] == [str(i + 1) for i in range(len(parts))]
    assert len(parts) > 1
    names = []
    for part in parts:
        assert (part / PART).stat().st_size <= 20 * 2**20
        with tarfile.open(part / PART) as tar:
            names.append(tar.getnames())
    assert KIT in names[0]
    every = [name for part in names for name in part]
    assert len(set(every)) == len(every)
    assert {"code/weights/cpu/keypoints.safetensors", "code/weights/cpu/boxes.csv", "data/folds.csv"} <= set(every)
    assert not [name for name in every if name.endswith(".onnx")]
    photos = [name for name in every if name.startswith("data/") and name.endswith(".jpg")]
    assert (sum("/train/" in name for name in photos), sum("/test/" in name for name in photos)) == (8, 4)


def test_the_script_unpacks_every_part_and_starts_once(packed: Path, tmp_path: Path) -> None:
    python, work = tmp_path / "python", tmp_path / "work"
    python.write_text(f'#!/bin/sh\necho "$PWD $*" >> {tmp_path}/started\n')
    python.chmod(0o755)
    for part in sorted(packed.iterdir(), reverse=True):  # they may come in any order
        subprocess.run(["bash", part / "kit.sh", "start", work], check=True, env=os.environ | {"PYTHON": str(python)})
    subprocess.run(["bash", "-c", f"while kill -0 $(cat {work}/run.pid) 2>/dev/null; do sleep 0.1; done"], check=True)
    assert (tmp_path / "started").read_text() == f"{work}/code -m pipeline lab gpu-run --work {work}\n"
    kit = Kit.read(work / KIT)
    assert (kit.minutes, kit.limit, kit.parts) == (3, 8, len(list(packed.iterdir())))
    assert sorted(one.name for one in (work / "arrived").iterdir()) == [str(i + 1) for i in range(kit.parts)]
    assert "tests/test_waiting.py" in kit.gpu_tests
    rows = (work / "data" / "train" / "Annotations" / "train.csv").read_text().splitlines()
    assert len(rows) == 1 + 8
    for row in rows[1:]:
        assert (work / "data" / "train" / row.split(",")[0]).is_file()


def test_photos_travel_as_they_are_or_smaller_in_their_size(drawn: Path, tmp_path: Path) -> None:
    whole, small = tmp_path / "whole", tmp_path / "small"
    for out, options in ((whole, ()), (small, ("--quality", 30))):
        assert pack(drawn, out, "--limit", 4, *options) == 0
        for part in out.iterdir():
            with tarfile.open(part / PART) as tar:
                tar.extractall(out / "work", filter="data")
    files = list((whole / "work" / "data").rglob("*.jpg"))
    assert len(files) == 4 + 2
    for file in files:
        name = file.relative_to(whole / "work" / "data")
        kind = "train" if name.parts[0] == "train" else "test"
        assert file.read_bytes() == (drawn / kind / Path(*name.parts[1:])).read_bytes()
        other = small / "work" / "data" / name
        assert other.stat().st_size < file.stat().st_size
        first, second = (np.asarray(Image.open(one), dtype=int) for one in (file, other))
        assert first.shape == second.shape
        assert np.abs(first - second).mean() < 12


def test_photos_never_go_where_git_sees_them(drawn: Path, capsys) -> None:
    assert pack(drawn, Path("docs") / "kit") == 1
    assert "where git would see the photos" in capsys.readouterr().err
    assert not Path("docs/kit").exists()


def test_a_folder_of_somebody_else_is_left_alone(drawn: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "mine").write_text("x")
    assert pack(drawn, tmp_path, "--limit", 4) == 1
    assert "holds mine, which is of no kit" in capsys.readouterr().err
    assert (tmp_path / "mine").read_text() == "x"


def test_missing_packages_are_those_that_nobody_brings() -> None:
    has = names_in(HAS.read_text(encoding="utf-8"))
    lacking = missing(has)
    assert {"albumentations", "jsonargparse", "pycocotools"} <= set(lacking)
    assert not {"torch", "numpy", "pytest", "ruff", "ray"} & set(lacking)
    # An extra that is asked for counts: jsonargparse[signatures].
    assert "typeshed-client" in lacking
    assert missing(has | set(lacking)) == []
    assert names_in("Torch_Vision, a.b # c\n# d\n e") == {"torch-vision", "a-b", "e"}


def test_every_carried_package_has_a_version() -> None:
    pinned = names_in(re.sub("==[^\n]*", "", (ROOT / "constraints.txt").read_text()))
    assert set(missing(names_in(HAS.read_text()))) <= pinned
    assert SCRIPT.is_file()
