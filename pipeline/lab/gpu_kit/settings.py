"""What a kit is: the file kit.json that it holds, the folders it is unpacked into, and what is made in them."""

import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.runs.json_files import read_json, write_json

KIT, PART = "kit.json", "part.tar"


@dataclass(frozen=True)
class Kit:
    """What was packed: of which commit, for how many minutes, in how many parts, and, rehearsing, of how many images."""

    commit: str
    minutes: float
    limit: int
    parts: int
    quality: int
    gpu_tests: list[str] = field(default_factory=list)
    """Files of tests that need a GPU."""

    def write(self, file: Path) -> None:
        write_json(file, asdict(self))

    @classmethod
    def read(cls, file: Path) -> "Kit":
        """Raises UserError for what is no kit."""
        if not file.is_file():
            raise UserError(f"{file}: not there; expected a folder that kit.sh unpacked the first part into")
        return cls(**read_json(file))


@dataclass(frozen=True)
class Place:
    """Where a kit was unpacked."""

    work: Path

    @property
    def code(self) -> Path:
        return self.work / "code"

    @property
    def train(self) -> Path:
        return self.work / "data" / "train"

    @property
    def test(self) -> Path:
        return self.work / "data" / "test"

    @property
    def folds(self) -> Path:
        return self.work / "data" / "folds.csv"

    @property
    def boxes(self) -> Path:
        return self.code / "weights" / "cpu" / "boxes.csv"

    @property
    def results(self) -> Path:
        return self.work / "results"

    def arrived(self, part: int) -> Path:
        """Return the file that says that a part has been unpacked."""
        return self.work / "arrived" / str(part)


def verb(*arguments: object) -> tuple[str, ...]:
    """Return the command of a verb of this program."""
    return (sys.executable, "-m", "pipeline", *map(str, arguments))


def cores() -> int:
    return len(os.sched_getaffinity(0))
