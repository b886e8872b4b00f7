"""The verb that puts what a run made into a few small files, the most wanted first."""

import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import write_bytes
from garment_keypoints.pipeline.lab.gpu_kit.jobs import CUT_OFF, RUNNING
from garment_keypoints.pipeline.lab.gpu_kit.page import PAGE, Page
from garment_keypoints.pipeline.lab.gpu_kit.settings import Place

SMALL = 2 * 2**20
"""Bytes of a table, record or log that always comes back."""
BUNDLE, LEFT_BEHIND = "bundle", "left_behind"
NOT_WANTED = (".ckpt", ".partial", ".jpg", ".png")
MIB = 2**20


def gpu_collect(work: Path, out: Path, part_mib: float = 15.0, most_mib: float = 58.0) -> None:
    """Write page.md, page.json and bundle.0, bundle.1 ... into OUT: `cat OUT/bundle.* | tar -x` gives the results back.

    Tables, records and logs come first, then the weights of networks that saw all images, then the others, as long as they
    fit; the page names what is left behind. A run that is not over is collected as it stands.

    Args:
        work: folder that kit.sh unpacked the kit into
        out: folder for the files
        part_mib: the largest a file may be, in MiB
        most_mib: the largest all bundles together may be, in MiB
    """
    place = Place(work.resolve())
    if not (place.results / PAGE).is_file():
        raise UserError(f"{place.results}: no page yet; the run has not begun, see {work / 'run.log'}")
    page = Page.read(place.results)
    if page.content["state"] == RUNNING and not _runs(work / "run.pid"):
        page.end(CUT_OFF)
    taken, left = chosen(place.results, most_mib * MIB)
    page.content[LEFT_BEHIND] = [file.relative_to(place.results).as_posix() for file in left]
    page.write()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for file in taken:
            tar.add(file, file.relative_to(place.results).as_posix())
    for number, content in enumerate(_pieces(packed.getvalue(), int(part_mib * MIB))):
        write_bytes(out / f"{BUNDLE}.{number}", content)
    for file in (place.results / PAGE, place.results / "page.md", work / "run.log"):
        write_bytes(out / file.name, file.read_bytes())
    print(
        f"{out}: {len(taken)} files, {len(packed.getvalue()) / MIB:.1f} MiB, {len(left)} left behind; {page.content['state']}"
    )


def chosen(results: Path, most: float) -> tuple[list[Path], list[Path]]:
    """Return the files to bring back, of at most so many bytes, and those that do not fit."""
    files = [file for file in results.rglob("*") if file.is_file() and not file.name.endswith(NOT_WANTED)]
    taken, left, size = [], [], 0
    for file in sorted(files, key=_rank):
        cost = file.stat().st_size + 1024
        if size + cost > most:
            left.append(file)
        else:
            taken.append(file)
            size += cost
    return taken, left


def _rank(file: Path) -> tuple[int, str]:
    """Order files by how much they are wanted."""
    weights = file.suffix == ".safetensors"
    if not weights:
        return (0 if file.stat().st_size <= SMALL else 3), file.as_posix()
    return (1 if file.stem.endswith(("final", "further")) else 2), file.as_posix()


def _pieces(content: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def _runs(file: Path) -> bool:
    """Tell whether the process whose number a file holds is still there."""
    numbers: Sequence[str] = file.read_text().split() if file.is_file() else []
    return any(psutil.pid_exists(int(number)) for number in numbers)
