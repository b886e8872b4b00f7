"""The server on a real socket: what stalls is cut, what ends is quick, and what is computed holds up no page."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import ClassVar

import pytest
import uvicorn
from garment_keypoints.pipeline.contract.garments import PhotoResult
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.data.photos import Photo
from garment_keypoints.pipeline.serving.app import create_app
from garment_keypoints.pipeline.serving.limits import Limits
from garment_keypoints.pipeline.serving.server import GRACE, server

HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
PART = b'--x\r\nContent-Disposition: form-data; name="photos"; filename="a.jpg"\r\n\r\nphoto\r\n--x--\r\n'
PHOTO = HEAD + b"Content-Length: %d\r\n\r\n" % len(PART) + PART
STALLED = HEAD + b"Content-Length: 9999\r\n\r\n" + PART[:50]
PAGE = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Waiting:
    """Finds nothing, when it is let."""

    schema: ClassVar[Schema] = load_schema("fashionai")

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.begun = threading.Semaphore(0)

    def __call__(self, photo: Photo) -> list[PhotoResult]:
        self.begun.release()
        self.go.wait(20)
        return [PhotoResult(photo.name, (1, 1), [])]


@dataclass
class Running:
    port: int
    server: uvicorn.Server
    thread: threading.Thread

    def ask(self, *parts: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        for part in parts:
            connection.sendall(part)
        return connection

    def end(self) -> float:
        """End the server as SIGTERM does; return the seconds that this took."""
        begun = time.monotonic()
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()
        return time.monotonic() - begun


@pytest.fixture
def predictor() -> Iterator[Waiting]:
    predictor = Waiting()
    yield predictor
    predictor.go.set()


@pytest.fixture
def serve(predictor: Waiting) -> Callable:
    @contextmanager
    def served(wait: float = 10, **limits: float) -> Iterator[Running]:
        within = Limits(**limits)
        one = server(create_app(predictor, "mine", within), "127.0.0.1", 0, within, wait=wait)
        thread = threading.Thread(target=one.run, daemon=True)
        thread.start()
        until(lambda: one.started)
        running = Running(one.servers[0].sockets[0].getsockname()[1], one, thread)
        try:
            yield running
        finally:
            running.end()

    return served


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def answer(connection: socket.socket) -> bytes:
    """Return all that comes until the other side ends."""
    with connection:
        got = b""
        with suppress(ConnectionResetError):
            while part := connection.recv(1 << 16):
                got += part
        return got


def test_what_stalls_is_cut(serve: Callable) -> None:
    """Nothing sent, half a header, one that comes drop by drop, half a body, an endless one, and answers that are not taken."""
    with serve(wait=0.4, seconds=0.3, megabytes=0.1) as running:
        begun = time.monotonic()
        silent, half, drops = running.ask(), running.ask(PHOTO[:40]), running.ask(PHOTO[:10])
        late, body, deaf = (
            running.ask(HEAD[:5]),
            running.ask(STALLED),
            running.ask(PAGE.replace(b"close", b"keep") * 2000),
        )
        with suppress(OSError):
            for _ in range(8):
                time.sleep(0.1)
                drops.sendall(b"a")
        assert b" 408 " in answer(body)
        for one in (silent, half, drops, late):
            assert answer(one) == b""
        until(lambda: not running.server.server_state.connections)
        assert time.monotonic() - begun < 5
        deaf.close()
        assert b" 200 " in answer(running.ask(PAGE))


def test_a_body_that_goes_on_after_its_refusal_is_cut(serve: Callable) -> None:
    with serve(wait=0.4, megabytes=0.1) as running:
        connection = running.ask(HEAD + b"Content-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent = 0
        with suppress(OSError):
            while sent < 400:
                connection.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
                sent += 1
                time.sleep(0.01)
        assert 0 < sent < 400
        connection.close()


def test_connections_are_bounded(serve: Callable) -> None:
    with serve(connections=4) as running:
        kept = [running.ask() for _ in range(3)]
        assert b" 503 " in answer(running.ask(PAGE))
        kept.append(running.ask())
        assert answer(running.ask()) == b""
        for one in kept:
            one.close()
        until(lambda: not running.server.server_state.connections)
        assert b" 200 " in answer(running.ask(PAGE))


def test_it_ends_within_seconds(serve: Callable, predictor: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stalled upload, a silent connection, a photo that takes long, and one that waits for it."""
    assert GRACE <= 2  # of the five seconds that it may take
    monkeypatch.setattr("garment_keypoints.pipeline.serving.server.GRACE", 0.3)
    predictor.go.clear()
    with serve() as running:
        stalled, silent, computed = running.ask(STALLED), running.ask(), running.ask(PHOTO)
        assert predictor.begun.acquire(timeout=10)
        waiting = running.ask(PHOTO)
        until(lambda: len(running.server.server_state.tasks) == 3)
        assert running.end() < 2
        assert answer(stalled) == answer(silent) == b""
        for one in (computed, waiting):
            assert b" 503 " in (got := answer(one))
            assert b"the server ends; ask again later" in got


def test_what_has_come_is_answered_before_the_end(serve: Callable, predictor: Waiting) -> None:
    predictor.go.clear()
    with serve() as running:
        asked = running.ask(PHOTO)
        assert predictor.begun.acquire(timeout=10)
        threading.Timer(0.3, predictor.go.set).start()
        assert running.end() < 3
        assert b" 200 " in answer(asked)


def test_the_page_is_quick_while_photos_wait(serve: Callable, predictor: Waiting) -> None:
    predictor.go.clear()
    with serve() as running:
        photos = [
            running.ask(PHOTO.replace(b"boundary=x\r\n", b"boundary=x\r\nConnection: close\r\n")) for _ in range(50)
        ]
        until(lambda: len(running.server.server_state.tasks) == 50)
        begun = time.monotonic()
        for path in (b"/", b"/about", b"/page.js"):
            assert b" 200 " in answer(running.ask(PAGE.replace(b"/", path, 1)))
        assert time.monotonic() - begun < 1
        assert predictor.begun.acquire(timeout=10)
        assert not predictor.begun.acquire(blocking=False)  # one at a time
        predictor.go.set()
        assert all(b" 200 " in answer(one) for one in photos)
