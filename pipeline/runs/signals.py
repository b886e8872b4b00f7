"""Ctrl-C and SIGTERM end a command in the same orderly way: partial work is kept, and the same command goes on."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible() -> Iterator[Callable[[], int]]:
    """Let SIGINT and SIGTERM raise KeyboardInterrupt; yields what tells the last signal's number (0: none came).

    A script starts its background jobs with SIGINT ignored, and Python then leaves it so; those must end as well.
    """
    received = [0]

    def end(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: received[-1]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
