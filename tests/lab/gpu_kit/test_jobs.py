"""Jobs beside one another: what ends in time is kept, what does not is cut off, and nothing is left running."""

import sys
import time
from pathlib import Path

import psutil
from garment_keypoints.pipeline.lab.gpu_kit import jobs
from garment_keypoints.pipeline.lab.gpu_kit.jobs import CUT_OFF, DONE, FAILED, SKIPPED, Job, Runner


def job(name: str, code: str, **further: object) -> Job:
    return Job(name, (sys.executable, "-c", code), **further)  # type: ignore[arg-type]


def run(tmp_path: Path, *made: Job, seconds: float = 60.0, **options: object) -> dict[str, jobs.JobOutcome]:
    told: list[list[str]] = []
    runner = Runner(
        made, tmp_path / "logs", lambda outcomes: told.append([one.state for one in outcomes]), tmp_path, {"A": "1"}
    )
    outcomes = runner.run(seconds, **options)  # type: ignore[arg-type]
    assert told[-1] == [one.state for one in outcomes]
    return {one.job.name: one for one in outcomes}


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_ends_in_time_is_done_or_has_failed(tmp_path: Path) -> None:
    made = run(
        tmp_path,
        job("good", "import os; print(os.environ['A'], os.getcwd())"),
        job("bad", "import sys; print('first'); sys.exit('it is broken')"),
    )
    assert (made["good"].state, made["bad"].state) == (DONE, FAILED)
    assert made["bad"].detail == "exit code 1: it is broken"
    assert (tmp_path / "logs" / "good.log").read_text().split() == ["1", str(tmp_path)]


def test_what_does_not_end_is_cut_off_with_everythat_it_started(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time, pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "pathlib.Path('child').write_text(str(child.pid))\n"
        "time.sleep(600)"
    )
    three = job("quick", "print('made')"), job("slow", code), job("next", "pass", after=("slow",))
    made = run(tmp_path, *three, enough=lambda every: every[0].state == DONE and (tmp_path / "child").is_file())
    assert {name: one.state for name, one in made.items()} == {"quick": DONE, "slow": CUT_OFF, "next": SKIPPED}
    child, begun = int((tmp_path / "child").read_text()), time.monotonic()
    while runs(child):
        assert time.monotonic() < begun + 60
        time.sleep(0.1)  # a signal is sent; when it arrives is the system's affair


def test_what_takes_longer_than_its_limit_is_cut_off(tmp_path: Path) -> None:
    begun = time.monotonic()
    made = run(tmp_path, job("slow", "import time; time.sleep(600)"), seconds=1)
    assert (made["slow"].state, time.monotonic() - begun < 60) == (CUT_OFF, True)
    assert made["slow"].seconds >= 1


def test_one_that_does_not_listen_is_ended_everythe_same(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(jobs, "GRACE_S", 0.5)
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    heard = tmp_path / "logs" / "deaf.log"
    made = run(tmp_path, job("deaf", code), enough=lambda _: heard.is_file() and heard.read_text() == "deaf\n")
    assert made["deaf"].state == CUT_OFF


def test_a_job_waits_for_those_before_it_and_needs_what_they_make(tmp_path: Path) -> None:
    here, lacking = tmp_path / "made", tmp_path / "never"
    made = run(
        tmp_path,
        job("second", "print(open('made').read())", after=("first",), needs=(here,)),
        job("third", "pass", after=("first",), needs=(lacking,)),
        job("first", "import time; time.sleep(0.5); open('made', 'w').write('x')"),
    )
    assert {name: one.state for name, one in made.items()} == {"first": DONE, "second": DONE, "third": SKIPPED}
    assert made["third"].detail == "never was not made"


def test_steps_of_a_training_are_read_off_its_bar(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "for i in range(1, 200):\n"
        "    print(f'\\rkeypoints a_val:  2%|x| {5 * i}/1000 [00:01<00:02, 3.1it/s]', end='', file=sys.stderr, flush=True)\n"
        "    time.sleep(0.1)"
    )
    made = run(tmp_path, job("a_val", code), enough=lambda outcomes: len(outcomes[0].readings) > 3)
    readings = made["a_val"].readings
    assert readings[0].step >= 5
    assert readings[-1].total == 1000
    assert [one.step for one in readings] == sorted({one.step for one in readings})
    assert [one.seconds for one in readings] == sorted(one.seconds for one in readings)
