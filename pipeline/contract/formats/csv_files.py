"""CSV files as tables of text, read with every fault reported, and the ids and whole numbers that stand in them."""

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

import pandas as pd
from garment_keypoints.pipeline.contract.faults import Fault

INSTANCE = "instance"
"""The column that says which garment of its picture a row is of; files with one garment a picture have none."""
LONGEST_NAME = 255
"""Bytes of a file's or folder's name; no common file system takes more."""
LONGEST_ID = 1024
WHOLE = re.compile(r"-?[0-9]{1,9}")
"""A whole number; written out, since int() takes the digits of every script."""
NUMBER = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,20})?([eE][-+]?[0-9]{1,2})?")


def read_csv(file: Path, faults: list[Fault], missing: str = "check the path") -> pd.DataFrame | None:
    """Read a CSV as text, cell by cell; add faults and return None when it is no table with rows of one length.

    `missing` is what to do where there is no such file.
    """
    expected = "expected one row an image under one header row, commas, UTF-8"
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
        lines = list(csv.reader(io.StringIO(text), strict=True))
    except FileNotFoundError:
        faults.append(Fault(str(file), "no such file", missing))
        return None
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        faults.append(Fault(str(file), f"not a readable CSV ({str(error).strip()})", expected))
        return None
    while lines and not any(cell.strip() for cell in lines[-1]):
        lines.pop()
    if len(lines) < 2:
        faults.append(Fault(str(file), "empty CSV", expected))
        return None
    header, *rows = lines
    found = [_wrong_length(file, row, len(cells), len(header)) for row, cells in enumerate(rows, start=2)]
    found += [
        Fault(str(file), "column that stands twice", "keep one of them", 1, value=name)
        for name, count in Counter(header).items()
        if count > 1
    ]
    faults.extend(wrong := [fault for fault in found if fault is not None])
    return None if wrong else pd.DataFrame(rows, columns=header, dtype=object)


def _wrong_length(file: Path, row: int, cells: int, expected: int) -> Fault | None:
    if cells == expected:
        return None
    problem = f"row with {'more' if cells > expected else 'fewer'} cells than the header ({cells} of {expected})"
    return Fault(str(file), problem, "expected a cell a column; a comma inside a cell needs quotes", row)


def has_columns(frame: pd.DataFrame, names: list[str], file: Path, faults: list[Fault], exact: bool = True) -> bool:
    """Tell whether the table has the columns `names` (exact: and no others); add a fault when not."""
    missing = [name for name in names if name not in frame.columns]
    extra = [name for name in frame.columns if name not in names] if exact else []
    if missing or extra:
        problem = f"wrong header (missing {missing}, unexpected {extra})"
        faults.append(Fault(str(file), problem, f"expected {','.join(names)}", 1))
    return not missing and not extra


def read_instances(frame: pd.DataFrame, file: Path, faults: list[Fault]) -> list[int]:
    """Return the number of each row's garment among those of its picture: 0 where the table has no column of it.

    A cell that is no such number is a fault, and stands as 0.
    """
    cells = list(frame[INSTANCE]) if INSTANCE in frame.columns else ["0"] * len(frame)
    good = [bool(WHOLE.fullmatch(cell)) and int(cell) >= 0 for cell in cells]
    faults += [
        Fault(str(file), "malformed instance", "expected 0, 1, 2 ...", row, INSTANCE, cell)
        for row, (cell, fits) in enumerate(zip(cells, good, strict=True), start=2)
        if not fits
    ]
    return [int(cell) if fits else 0 for cell, fits in zip(cells, good, strict=True)]


def duplicates(file: Path, ids: Sequence[str], instances: Sequence[int] | None = None) -> list[Fault]:
    """Return a fault for each id that stands in an earlier row; with `instances`, for each id with its instance."""
    first: dict[tuple[str, int], int] = {}
    several = instances is not None and any(instances)
    faults = []
    for row, key in enumerate(zip(ids, instances or [0] * len(ids), strict=True), start=2):
        if key in first:
            what = f"image id, instance {key[1]}" if several else "image id"
            problem = f"duplicate {what} (first in row {first[key]})"
            faults.append(Fault(str(file), problem, "keep one of the rows", row, "image_id", key[0]))
        first.setdefault(key, row)
    return faults


def wrong_id(image_id: str) -> tuple[str, str] | None:
    """Say what is wrong with an image id, and what to do: it is a path below the data folder, written in one way only.

    A second way to write a path (./x, a//b) would pass for another picture. Links are another matter: what an id names may
    lie elsewhere through a link in the data folder, since that is how people share one copy of their pictures.
    """
    remedy = "expected a path below the data folder, such as Images/dress/1.jpg"
    path = PurePosixPath(image_id)
    outside = path.is_absolute() or ".." in path.parts or "\\" in image_id
    if not path.parts or outside or PureWindowsPath(image_id).drive:
        return "image id that leaves the data folder", remedy
    if any(unicodedata.category(character) == "Cc" for character in image_id):
        return "image id with control characters", remedy
    if str(path) != image_id:
        return "image id that is not in its shortest form", f"write {path}"
    if len(image_id) > LONGEST_ID or max(len(part.encode()) for part in path.parts) > LONGEST_NAME:
        return f"image id of {len(image_id)} characters", remedy
    return None
