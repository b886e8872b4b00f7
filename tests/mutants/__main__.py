"""Break the code in one place at a time and see whether the tests notice: `make mutants`.

`list.yaml` beside this file holds the mutations, chosen by hand: each gives a plausible wrong number, and names the tests
that should notice. A tool that mutates every operator (mutmut, cosmic-ray) makes thousands of mutants; at ten seconds each,
most of them torch's import, that takes days on two cores.

All happens in copies of the tracked files in a temporary folder, one a core; the checkout is never changed.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from garment_keypoints.pipeline.contract.files import write_text
from garment_keypoints.pipeline.runs.provenance import provenance

from tests.mutants.mutations import ROOT, Mutation, read_list, stale

TIMEOUT_S = 180
SURVIVED, TIMED_OUT = "**SURVIVED**", "(ran out of time)"
FIRST = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="just the mutations whose line in the table would contain this text")
    parser.add_argument("--out", type=Path, help="write the table there as well, such as docs/mutants.md")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="so many at once (by default one a core)")
    options = parser.parse_args()
    if options.jobs < 1:
        parser.error(f"--jobs is {options.jobs}; expected 1 or more")
    chosen = [one for one in read_list() if options.only in f"{one.breaks} {one.file}"]
    faults = [fault for one in chosen for fault in stale(one)]
    if faults or not chosen:
        print("\n".join(faults) or f"no mutation has {options.only!r} in its line", file=sys.stderr)
        return 1
    made = provenance()  # of the copies: the checkout may move on meanwhile
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = [copy_of_checkout(Path(folder) / str(job)) for job in range(options.jobs)]
        if not pass_unmutated(copies[0], sorted({test for one in chosen for test in one.tests}), options.jobs):
            return 1
        rows = outcomes(copies, chosen)
    print("\n".join(table(rows)))
    if options.out:
        write_text(options.out, document(rows, made))
    return int(any(SURVIVED in line for line in rows))


def copy_of_checkout(to: Path) -> Path:
    """Copy what git tracks, as it stands in the working tree."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    return to


def pass_unmutated(copy: Path, tests: Sequence[str], jobs: int) -> bool:
    """Run every named test on the code as it is: a test that fails anyway would seem to kill each mutant."""
    start = time.perf_counter()
    code, output = run_tests(copy, ["-n", str(jobs), *tests], timeout_s=20 * TIMEOUT_S)
    print(f"unmutated: {'passed' if code == 0 else 'FAILED'} in {time.perf_counter() - start:.0f} s", file=sys.stderr)
    if code:
        print(output[-4000:], file=sys.stderr)
    return code == 0


def outcomes(copies: Sequence[Path], mutations: Sequence[Mutation]) -> list[str]:
    """Return the line of each mutation, in their order; each copy holds one mutation at a time."""
    idle: SimpleQueue[Path] = SimpleQueue()
    for copy in copies:
        idle.put(copy)

    def line(one: Mutation) -> str:
        copy = idle.get()
        try:
            return row(one, *outcome(copy, one))
        finally:
            idle.put(copy)

    with ThreadPoolExecutor(len(copies)) as pool:
        return list(pool.map(line, mutations))


def outcome(copy: Path, one: Mutation) -> tuple[str, float]:
    """Return which test noticed the mutation first, and after how many seconds."""
    file, start = copy / one.file, time.perf_counter()
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(one.old, one.new), encoding="utf-8")
    try:
        code, output = run_tests(copy, one.tests, TIMEOUT_S)
    finally:
        file.write_text(text, encoding="utf-8")
    if code not in (0, 1, 2, None):
        raise SystemExit(f"{one.breaks}: pytest ended with {code}\n{output[-4000:]}")
    first = FIRST.search(output)
    killed_by = TIMED_OUT if code is None else first[1] if first else f"(pytest ended with {code})"
    return SURVIVED if code == 0 else killed_by, time.perf_counter() - start


def run_tests(copy: Path, arguments: Sequence[str], timeout_s: float) -> tuple[int | None, str]:
    """Return pytest's exit status for these arguments (None: it ran out of time) and what it printed."""
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=copy, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with the processes that a test has started
        return None, process.communicate()[0]
    return process.returncode, output


def row(one: Mutation, killed_by: str, seconds: float) -> str:
    line = f"| {one.breaks} | {one.file} | {killed_by} | {seconds:.0f} |"
    print(line, file=sys.stderr, flush=True)
    return line


def table(rows: Sequence[str]) -> list[str]:
    survived = sum(SURVIVED in line for line in rows)
    head = ["| mutation | file | killed by | seconds |", "| --- | --- | --- | --- |"]
    return [*head, *rows, "", f"{len(rows)} mutations, {len(rows) - survived} killed, {survived} survived."]


def document(rows: Sequence[str], made: dict[str, Any]) -> str:
    head = "<!-- written by `make mutants`; do not edit -->\n\n# Mutations and the tests that notice them\n"
    command = " ".join(["python -m tests.mutants", *sys.argv[1:]])
    foot = f"`{command}` at {made['commit']}, {made['date']}, on {made['machine']}."
    return "\n".join([head, *table(rows), "", foot, ""])


if __name__ == "__main__":
    raise SystemExit(main())
