"""What is said of points on a device against the CPU, and how pictures are fed, by hand."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from garment_keypoints.pipeline.lab.commands.gpu_measure import as_text, compared
from garment_keypoints.pipeline.runs.json_files import read_json

from tests.commands.running import run


def photo(*garments: tuple[str, float, Any]) -> Any:
    made = [SimpleNamespace(category=c, box=np.full(4, b), xy=np.array(xy, dtype=float)) for c, b, xy in garments]
    return SimpleNamespace(garments=made)


def test_points_of_the_same_garment_are_compared() -> None:
    known = [
        photo(("skirt", 10, [[0, 0], [5, 5], [np.nan, np.nan]]), ("dress", 50, [[1, 1]])),
        photo(("skirt", 9, [[2, 2]])),
    ]
    found = [
        photo(("dress", 51, [[1, 1.04]]), ("skirt", 10.5, [[3, 4], [5, 5], [np.nan, np.nan]])),
        photo(("skirt", 90, [[2, 2]])),  # elsewhere: it has no other, and neither has that of the CPU
    ]
    made = compared(known, found)
    assert (made["garments"], made["unmatched"]) == (3, 2)
    assert made["largest_px"] == 5
    assert made["mean_px"] == pytest.approx(5.04 / 3)
    assert made["within"] == pytest.approx(2 / 3)
    assert compared([photo()], [photo()])["within"] == 0


def test_what_is_known_so_far_can_be_shown() -> None:
    record: dict[str, Any] = {"photos": 2, "device": "CPU", "points": {"float32": compared([photo()], [photo()])}}
    assert "Photos a second" not in as_text(record)
    rates = {"whole": 9.0, "detector": 30.0, "keypoints": 10.0, "share_of_slower": 0.9}
    record |= {"throughput": rates, "precision": "float32", "memory_gb": {"host": 1.0}, "waits": None}
    assert "share of the slower one 0.900 (bar 0.9)" in as_text(record)
    assert "torch counts them on a GPU alone" in as_text(record)


def test_pictures_are_fed_from_files_and_from_memory(drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "feed.json"
    options = ("--seconds", 0.2, "--batch", 4, "--workers", 1)
    assert run("lab", "gpu-feed", "--data", drawn / "train", "--out", out, *options) == 0
    fed = read_json(out)["fed"]
    assert all(one["pictures_per_second"] > 0 for one in fed.values())
    assert list(fed) == ["decoded each time", "in memory"]
