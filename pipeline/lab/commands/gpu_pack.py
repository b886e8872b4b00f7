"""The verb that packs a kit: code, weights, photos and wheels, in parts that are small enough to be carried one by one."""

import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import write_text
from garment_keypoints.pipeline.contract.formats.fashionai import read_annotations, read_test
from garment_keypoints.pipeline.contract.formats.yaml_files import read_yaml
from garment_keypoints.pipeline.contract.records import ImageRow
from garment_keypoints.pipeline.contract.schema import load_schema
from garment_keypoints.pipeline.data.select import load_training_set, sample_rows
from garment_keypoints.pipeline.lab.gpu_kit.plan import PRESET
from garment_keypoints.pipeline.lab.gpu_kit.settings import KIT, PART, Kit
from garment_keypoints.pipeline.lab.gpu_kit.wheels import HAS, download, missing, names_in
from garment_keypoints.pipeline.runs.provenance import provenance
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = HAS.with_name("kit.sh")
CODE = (
    "pyproject.toml",
    "pipeline",
    ":!pipeline/lab/results",
    "detector",
    "keypoints",
    "configs",
    "tests",
    "weights",
    "docs/photos",
)
GRAPHS = ".onnx"
"""Weights that a GPU does not run, and that stay behind."""
BLOCK = 512
"""Bytes in which a tar counts."""
MIB = 2**20


@dataclass(frozen=True)
class Piece:
    """A file to carry, and where it lies in the kit."""

    file: Path
    name: str

    @property
    def size(self) -> int:
        """Bytes that it takes in a tar."""
        return BLOCK * (2 + self.file.stat().st_size // BLOCK)


def gpu_pack(
    data: Path,
    test: Path,
    answers: Path,
    out: Path,
    minutes: float = 12.0,
    limit: int = 0,
    quality: int = 0,
    has: Path = HAS,
    part_mib: float = 60.0,
) -> None:
    """Pack what a GPU machine needs into OUT/1, OUT/2 ...: part.tar, and kit.sh, which unpacks it there and starts the run.

    Args:
        data: train root: folder with Annotations/*.csv and Images/
        test: folder with test.csv and Images/
        answers: answer CSV of the test folder
        out: folder of the kit; it holds photos, so it must be ignored by git where it lies in the checkout
        minutes: time of the whole run on that machine
        limit: rehearse on so many training images, and half as many of the test (0: all); no wheels are packed then
        quality: JPEG quality that photos are packed with, 1 to 95; 0: they travel as they are
        has: list of the packages that the machine has, one a line
        part_mib: the largest a part may be, in MiB
    """
    if not 0 <= quality <= 95 or limit < 0 or not minutes > 0:
        raise UserError(
            f"--quality is {quality}, --limit {limit}, --minutes {minutes:g}; expected 0 to 95, 0 or more, above 0"
        )
    _make_room(out)
    stage = out / "stage"
    trained = _stage_train(data, stage / "data" / "train", limit, quality)
    _stage_test(test, answers, stage / "data" / "test", limit // 2, quality)
    folds = read_yaml(ROOT / PRESET)["folds"]
    load_training_set([stage / "data" / "train"], load_schema("fashionai"), folds, stage / "data")
    wheels = [] if limit else missing(names_in(has.read_text(encoding="utf-8")))
    if wheels:
        download(wheels, ROOT / "constraints.txt", stage / "wheels")
    code = _code()
    first = [Piece(file, file.relative_to(stage).as_posix()) for file in _files(stage) if file not in trained] + code
    photos = [Piece(file, file.relative_to(stage).as_posix()) for file in trained]
    tests = [piece.name.removeprefix("code/") for piece in code if _needs_gpu(piece)]
    parts = divided([*first, *photos], part_mib * MIB)
    kit = Kit(provenance()["commit"], minutes, limit, len(parts), quality, tests)
    kit.write(stage / KIT)
    parts[0].append(Piece(stage / KIT, KIT))
    sizes = [_write(part, out / str(number)) for number, part in enumerate(parts, start=1)]
    shutil.rmtree(stage)
    listed = ", ".join(f"{out / str(number)} ({size / MIB:.1f} MiB)" for number, size in enumerate(sizes, start=1))
    print(f"to carry, {sum(sizes) / MIB:.1f} MiB: {listed}; wheels: {', '.join(wheels) or 'none'}; nothing else")


def divided(pieces: Sequence[Piece], most: float) -> list[list[Piece]]:
    """Divide the pieces, in their order, into parts of at most so many bytes."""
    parts: list[list[Piece]] = [[]]
    taken = 2 * BLOCK * 10  # a tar's end, and the description of the kit
    for piece in pieces:
        if piece.size > most:
            raise UserError(
                f"{piece.name} alone is {piece.size / MIB:.1f} MiB; expected parts of more than that (--part_mib)"
            )
        if taken + piece.size > most:
            parts.append([])
            taken = 2 * BLOCK * 10
        parts[-1].append(piece)
        taken += piece.size
    return parts


def _write(part: Sequence[Piece], folder: Path) -> int:
    folder.mkdir()
    with tarfile.open(folder / PART, "w", format=tarfile.GNU_FORMAT) as tar:
        for piece in part:
            tar.add(piece.file, piece.name)
    shutil.copy2(SCRIPT, folder)
    return (folder / PART).stat().st_size


def _stage_train(data: Path, folder: Path, limit: int, quality: int) -> list[Path]:
    """Copy the training images and their annotations; return the copies of the images."""
    rows = sample_rows(read_annotations([data], load_schema("fashionai")), limit)
    for file in sorted((data / "Annotations").glob("*.csv")):
        _copy_rows(file, folder / "Annotations" / file.name, rows)
    return _copy_photos(rows, data, folder, quality)


def _stage_test(test: Path, answers: Path, folder: Path, limit: int, quality: int) -> None:
    rows = sample_rows(read_test(test, load_schema("fashionai")), limit)
    _copy_rows(test / "test.csv", folder / "test.csv", rows)
    _copy_rows(answers, folder / "answer.csv", rows)
    _copy_photos(rows, test, folder, quality)


def _copy_rows(file: Path, out: Path, rows: Sequence[ImageRow]) -> None:
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    kept = table[table["image_id"].isin({row.image_id for row in rows})]
    write_text(out, kept.to_csv(index=False, lineterminator="\n"))


def _copy_photos(rows: Sequence[ImageRow], root: Path, folder: Path, quality: int) -> list[Path]:
    copies = []
    for row in rows:
        copy = folder / row.path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if quality:
            with Image.open(row.path) as photo:
                exif = photo.info.get("exif", b"")
                photo.convert("RGB").save(copy, "JPEG", quality=quality, optimize=True, exif=exif)
        else:
            shutil.copyfile(row.path, copy)
        copies.append(copy)
    return copies


def _code() -> list[Piece]:
    """Return the files of the checkout as they lie there, also those that are not committed yet."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *CODE]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    names = [name for name in listed if name and not name.endswith(GRAPHS) and (ROOT / name).is_file()]
    return [Piece(ROOT / name, f"code/{name}") for name in names]


def _needs_gpu(piece: Piece) -> bool:
    is_test = piece.name.startswith("code/tests/") and piece.name.endswith(".py")
    return is_test and "mark.gpu" in piece.file.read_text(encoding="utf-8")


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _make_room(out: Path) -> None:
    """Remove an earlier kit; raise UserError for a folder that is something else, or that git would take photos from."""
    if not (ROOT / ".git").exists():
        raise UserError(f"{ROOT} is no git checkout; a kit is packed from one, whose files it takes")
    inside = out.resolve().is_relative_to(ROOT)
    if inside and subprocess.run(["git", "check-ignore", "-q", str(out.resolve())], cwd=ROOT).returncode:
        raise UserError(
            f"--out is {out}, where git would see the photos; expected a folder that is ignored, such as runs/kit"
        )
    if out.exists():
        others = [one.name for one in out.iterdir() if not (one.name.isdigit() or one.name == "stage")]
        if others:
            raise UserError(f"--out is {out}, and holds {others[0]}, which is of no kit; choose another folder")
        shutil.rmtree(out)
    out.mkdir(parents=True)
