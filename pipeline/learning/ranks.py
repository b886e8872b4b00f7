"""Processes that train or predict together: who writes, who speaks, and that all of them end when one does.

The process that the user starts is rank 0. It starts the other ranks of its machine with its own command line (unless
torchrun or SLURM did), so that each of them comes to the same point by itself. Only rank 0 writes files that others read: once
all have predicted, the others end (`only_zero_goes_on`), and no command has to ask which rank it is.
"""

import atexit
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from garment_keypoints.pipeline.contract.faults import UserError

SHARED, PARENT = "PIPELINE_RANKS_FOLDER", "PIPELINE_RANKS_PARENT"
POLL_S = 0.3
SETTLE_S = 2.0
"""A broken connection is reported after this time: whoever broke it has then spoken, and has ended this process."""
GRACE_S = 1.0
"""Rank 0 gives the others this long to exit; shorter than SETTLE_S, so that they do not complain of its exit."""

LOST = re.compile(
    r"connection (closed|reset|refused)|broken pipe|gloo.*(timed out|error)|nccl.*(timeout|error|aborted)",
    re.IGNORECASE | re.DOTALL,
)
"""What gloo and NCCL say when a process that they talk to is gone; they have no class of error for it."""

Step = TypeVar("Step")

_others: list[subprocess.Popen] = []
_watched = False
_over = False


def is_zero() -> bool:
    """Tell whether this process is rank 0 of all machines, from the environment: known before the ranks are connected."""
    return all(int(os.environ.get(name, 0)) == 0 for name in ("RANK", "SLURM_PROCID", "NODE_RANK", "LOCAL_RANK"))


class OtherRank(BaseException):
    """Ends a command on a rank other than 0, which has done its share; `main` takes it for success."""


def only_zero_goes_on(trainer: Any) -> None:
    """Wait for all ranks of a Lightning `trainer`; then rank 0 returns with what all have made, and OtherRank ends the others."""
    trainer.strategy.barrier()
    if not trainer.is_global_zero:
        raise OtherRank


def in_turn(steps: Iterable[Callable[[], Step]]) -> Iterator[Step]:
    """Yield the result of each step on rank 0. The other ranks take part in all of them, and end after the last."""
    ended = None
    for step in steps:
        try:
            result = step()
        except OtherRank as end:
            ended = end
        else:
            yield result
    if ended is not None:
        raise ended


def join(trainer: Any) -> None:
    """Connect the ranks of a Lightning `trainer`, having started those of this machine; on one device, do nothing."""
    if trainer.world_size == 1:
        return
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces each rank
    environment = trainer.strategy.cluster_environment
    if not environment.creates_processes_externally:
        _start(trainer.num_devices, environment)
    _watch()
    trainer.strategy.setup_environment()


@contextmanager
def one_voice() -> Iterator[None]:
    """Let the rank that fails first raise its error; the others, which only miss it, exit without a word.

    Where the others run on another machine, or were started by a launcher, losing them is an error of its own.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if SHARED in os.environ:
            if isinstance(error, RuntimeError):
                time.sleep(SETTLE_S)
            if not _claim():
                raise SystemExit(1) from None
        if isinstance(error, RuntimeError) and LOST.search(str(error)):
            raise UserError(
                "the connection to another process of this run was lost: it was killed, often for lack of memory, or its "
                "machine is gone; the same command on all of them goes on from the last checkpoint"
            ) from error
        raise


def _start(count: int, environment: Any) -> None:
    os.environ |= {
        "MASTER_ADDR": environment.main_address,
        "MASTER_PORT": str(environment.main_port),
        "NODE_RANK": str(environment.node_rank()),
        "LOCAL_RANK": "0",
        SHARED: tempfile.mkdtemp(prefix="ranks-"),
        PARENT: str(os.getpid()),
    }
    command = [sys.executable, *sys.orig_argv[1:]]
    for rank in range(1, count):
        # In a group of their own, Ctrl-C does not reach them: rank 0 hears it and ends them.
        process = subprocess.Popen(
            command, env=os.environ | {"LOCAL_RANK": str(rank)}, stdout=subprocess.DEVNULL, process_group=0
        )
        _others.append(process)
    atexit.register(_end)


def _watch() -> None:
    """End this process when another one of its machine has died, also where it waits for that one in vain."""
    global _watched
    if SHARED in os.environ and not _watched:
        _watched = True
        target = _watch_others if _others else _watch_parent
        threading.Thread(target=target, daemon=True, name="ranks").start()


def _watch_parent() -> None:
    while os.getppid() == int(os.environ[PARENT]):
        time.sleep(POLL_S)
    os._exit(1)


def _watch_others() -> None:
    while not _over:
        codes = [code for code in (process.poll() for process in _others) if code]
        if codes and not _over:
            # Who raised an error has said so; who was killed could not.
            if min(codes) < 0 and _claim():
                print(
                    f"error: a process of this run was killed (signal {-min(codes)}), often for lack of memory; "
                    "the same command goes on from the last checkpoint",
                    file=sys.stderr,
                    flush=True,
                )
            _end()
            os._exit(max(1, *codes))
        time.sleep(POLL_S)


def _claim() -> bool:
    """Tell whether this rank is the first to fail; it then speaks for all."""
    global _over
    try:
        os.close(os.open(Path(os.environ[SHARED]) / "failed", os.O_CREAT | os.O_EXCL))
    except OSError:  # another one was first, or rank 0 has already ended the run
        return False
    _over = True
    return True


def _end() -> None:
    """Wait for the other ranks of this machine, and kill those that do not end by themselves."""
    global _over
    _over = True
    limit = time.monotonic() + GRACE_S
    for process in _others:
        try:
            process.wait(max(0.0, limit - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    shutil.rmtree(os.environ[SHARED], ignore_errors=True)
