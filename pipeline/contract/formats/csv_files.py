"""CSV files as tables of text, read with every fault reported, and files written whole or not at all."""

import io
from pathlib import Path

import pandas as pd

from pipeline.contract.faults import Fault


def read_csv(file: Path, faults: list[Fault]) -> pd.DataFrame | None:
    """Read a CSV as text, cell by cell; add a fault and return None when it is no table with rows."""
    expected = "expected one row an image under one header row, commas, UTF-8"
    try:
        text = io.StringIO(Path(file).read_text(encoding="utf-8-sig").rstrip())
        frame = pd.read_csv(text, dtype=str, keep_default_na=False, skip_blank_lines=False)
    except FileNotFoundError:
        faults.append(Fault(str(file), "no such file", "check the path"))
    except pd.errors.EmptyDataError:
        faults.append(Fault(str(file), "empty CSV", expected))
    except (pd.errors.ParserError, UnicodeDecodeError, OSError) as error:
        faults.append(Fault(str(file), f"not a readable CSV ({str(error).strip()})", expected))
    else:
        if not len(frame):
            faults.append(Fault(str(file), "empty CSV", expected))
        elif not isinstance(frame.index, pd.RangeIndex):
            # pandas takes the first cell of a row that is longer than the header for the name of the row.
            faults.append(Fault(str(file), "row with more cells than the header", expected, 2))
        else:
            return frame
    return None


def has_columns(frame: pd.DataFrame, names: list[str], file: Path, faults: list[Fault], exact: bool = True) -> bool:
    """Tell whether the table has the columns `names` (exact: and no others); add a fault when not."""
    missing = [name for name in names if name not in frame.columns]
    extra = [name for name in frame.columns if name not in names] if exact else []
    if missing or extra:
        problem = f"wrong header (missing {missing}, unexpected {extra})"
        faults.append(Fault(str(file), problem, f"expected {','.join(names)}", 1))
    return not missing and not extra


def duplicates(file: Path, ids: list[str], instances: list[str] | None = None) -> list[Fault]:
    """Return a fault for each id that stands in an earlier row; with `instances`, for each id with its instance."""
    first: dict[tuple[str, str], int] = {}
    faults = []
    for row, key in enumerate(zip(ids, instances or [""] * len(ids), strict=True), start=2):
        if key in first:
            what = f"image id, instance {key[1]}" if instances else "image id"
            problem = f"duplicate {what} (first in row {first[key]})"
            faults.append(Fault(str(file), problem, "keep one of the rows", row, "image_id", key[0]))
        first.setdefault(key, row)
    return faults
