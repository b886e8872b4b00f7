"""The packages that a GPU machine lacks, as wheels for it: nothing can be fetched there."""

import re
import subprocess
import sys
from collections.abc import Collection
from importlib.metadata import requires
from pathlib import Path

from garment_keypoints.pipeline.contract.faults import UserError
from packaging.requirements import Requirement

HAS = Path(__file__).with_name("has.txt")
"""What the machines have that were lent so far, a package a line."""
PYTHON = "3.12"
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_24", "manylinux_2_17", "manylinux2014", "manylinux1")
ROOT = "garment-keypoints"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def names_in(text: str) -> set[str]:
    """Return the packages that a list names, one or several a line; what follows # is a comment."""
    words = (word for line in text.splitlines() for word in line.split("#")[0].replace(",", " ").split())
    return {canonical(word) for word in words}


def missing(has: Collection[str], root: str = ROOT) -> list[str]:
    """Return the packages that `root` needs to run and that are not among `has`, itself left out.

    What a package there needs is there as well.
    """
    seen, waiting = set(has) | {canonical(root)}, [(root, {""})]
    found = set()
    while waiting:
        owner, extras = waiting.pop()
        for needed in map(Requirement, requires(owner) or []):
            name = canonical(needed.name)
            wanted = needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras)
            if wanted and name not in seen:
                seen.add(name)
                found.add(name)
                waiting.append((needed.name, needed.extras | {""}))
    return sorted(found)


def download(names: Collection[str], constraints: Path, folder: Path) -> None:
    """Fetch a wheel of each, in the version that the constraints name, for the machine's Python and processor."""
    pinned = {
        canonical(line.partition("==")[0]): line.strip()
        for line in constraints.read_text().splitlines()
        if "==" in line
    }
    unknown = [name for name in names if name not in pinned]
    if unknown:
        raise UserError(f"{constraints} names no version of {', '.join(unknown)}")
    folder.mkdir(parents=True, exist_ok=True)
    platforms = [part for one in PLATFORMS for part in ("--platform", f"{one}_x86_64")]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "-d",
        str(folder),
    ]
    command += ["--python-version", PYTHON, "--implementation", "cp", *platforms, *(pinned[name] for name in names)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"pip cannot fetch the wheels that the machine lacks: {done.stderr.strip().splitlines()[-1]}")
