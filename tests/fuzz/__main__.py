"""Fuzz every reader with fresh seeds for some minutes: python -m tests.fuzz MINUTES [FILE for the summary as Markdown]."""

import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from garment_keypoints.pipeline.contract.files import write_text
from garment_keypoints.pipeline.runs.provenance import provenance
from hypothesis import HealthCheck, given, seed, settings
from hypothesis.errors import FlakyFailure

from tests.fuzz.readers import Reader, prepare, readers
from tests.fuzz.rule import obeys

ROUND = 30
"""Cases of a reader before the next one has its turn."""
LOOSE = settings(max_examples=ROUND, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def main(minutes: float, out: Path | None) -> int:
    """Print cases and findings; 1 when there were any."""
    counts: Counter[str] = Counter()
    findings: dict[str, str] = {}
    start, made = time.monotonic(), provenance()
    with tempfile.TemporaryDirectory() as place:
        prepare(folder := Path(place))
        known = readers(folder)
        number = time.time_ns() % 2**32
        while time.monotonic() - start < 60 * minutes:
            for name, reader in known.items():
                if time.monotonic() - start > 60 * minutes:
                    break
                found, case = _round(reader, folder, number, name, counts)
                if found and found not in findings.values():
                    findings[f"{name}, seed {number}"] = found
                    print(f"{name}, seed {number}: {found} {case}", flush=True)
            number += 1
    lines = _summary(made, known, counts, findings, (time.monotonic() - start) / 60)
    print("\n".join(lines))
    if out is not None:
        write_text(out, "\n".join(lines) + "\n")
    return 1 if findings else 0


def _round(reader: Reader, folder: Path, number: int, name: str, counts: Counter[str]) -> tuple[str, str]:
    """Try ROUND cases of this seed; return what escaped, with its place, and the smallest case, or nothing."""

    @seed(number)
    @settings(LOOSE)
    @given(reader.files)
    def cases(content: bytes) -> None:
        counts[name] += 1
        obeys(reader, folder, content)

    try:
        cases()
    except (Exception, FlakyFailure) as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "hypothesis" not in f.filename]
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        case = " ".join(getattr(error, "__notes__", []))[:2000]
        return f"{type(error).__name__} at {place}: {str(error)[:120]!r}", case
    return "", ""


def _summary(
    made: dict[str, Any], known: dict[str, Reader], counts: Counter[str], findings: dict[str, str], minutes: float
) -> list[str]:
    lines = ["<!-- written by `make fuzz`; do not edit -->", "", "# Fuzzing", ""]
    lines += ["Damaged files and what reads them: a line that names the file, or a right result; nothing else.", ""]
    lines += ["| reader | cases | findings |", "|---|---|---|"]
    lines += [f"| {name} | {counts[name]} | {sum(f.startswith(f'{name}, ') for f in findings)} |" for name in known]
    lines += [f"| all, in {minutes:.1f} minutes | {sum(counts.values())} | {len(findings)} |", ""]
    lines += [f"- {place}: `{found}`" for place, found in findings.items()]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    lines += [f"Largest memory of the process: {memory:.2f} GB.", ""]
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    return [*lines, f"{made['date']}, commit {made['commit']}, {made['machine']}; Python {made['python']}, {versions}"]


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None))
