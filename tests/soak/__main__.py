"""Many requests of all kinds at once to `serve`: statuses as expected, and memory that does not grow: `make soak`.

Photos, damaged and oversized ones, bodies of false length, uploads that break off, other sites, odd charsets, pages.
"""

import argparse
import asyncio
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from garment_keypoints.pipeline.runs.json_files import write_json
from garment_keypoints.pipeline.runs.provenance import provenance

ROOT = Path(__file__).parents[2]
PHOTOS = sorted((ROOT / "docs" / "photos").glob("*.jpg"))
WARM = 200
"""Requests after which memory is measured first."""
GROWTH = 1.05
BROKEN_OFF = 0
"""In the place of a status: the client went away, and got none."""
MEGABYTES = 2
ODD = "multipart/form-data; boundary=x; charset=unicode_escape"
PARTIAL = 4000


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--at_once", type=int, default=50)
    parser.add_argument("--out", type=Path, required=True, help="results, .json")
    options = parser.parse_args(arguments)
    made = provenance() | {"command": shlex.join(["python", "-m", "tests.soak", *sys.argv[1:]])}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-u",
        "-m",
        "pipeline",
        "serve",
        "--port",
        port,
        "--megabytes",
        MEGABYTES,
        "--per_minute",
        60_000,
    ]
    with subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=subprocess.DEVNULL) as serving:
        try:
            soak = Soak(port, psutil.Process(serving.pid))
            asyncio.run(soak.run(options.requests, options.at_once))
            begun = time.monotonic()
            serving.send_signal(signal.SIGTERM)
            status = serving.wait(60)
            ended = round(time.monotonic() - begun, 1)
        finally:
            serving.kill()
    content = {"provenance": made, "requests": options.requests, "at_once": options.at_once, **soak.seen()}
    content |= {"seconds_to_end": ended, "status_of_sigterm": status}
    write_json(options.out, content)
    print(options.out.read_text(encoding="utf-8"))
    return int(bool(soak.wrong) or soak.growth() > GROWTH or ended > 5)


def request(target: str, body: bytes = b"", host: str = "localhost", **headers: str) -> bytes:
    """Return a request as its bytes; a name of a header has _ for -."""
    head = [f"{'POST' if body else 'GET'} {target} HTTP/1.1", f"Host: {host}"]
    if body:
        headers = {"Content_Type": "multipart/form-data; boundary=x", "Content_Length": str(len(body))} | headers
    head += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*head, "", ""]).encode() + body


def form(*photos: bytes, name: str = "a.jpg") -> bytes:
    head = f'--x\r\nContent-Disposition: form-data; name="photos"; filename="{name}"\r\n\r\n'.encode()
    return b"".join(head + photo + b"\r\n" for photo in photos) + b"--x--\r\n"


def chunked(body: bytes, host: str = "localhost") -> bytes:
    """Return a body in chunks that announces another length."""
    head = request("/predict", b" ", host, Content_Length="100", Transfer_Encoding="chunked")[:-1]
    return (
        head
        + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:1000], body[1000:]) if part)
        + b"0\r\n\r\n"
    )


def kinds() -> dict[str, tuple[Callable[[int], bytes], tuple[int, ...]]]:
    """Return each kind of request, by its number, and the statuses that it may get."""
    photos = [file.read_bytes() for file in PHOTOS]
    photo: Callable[[int], bytes] = lambda i: photos[i % len(photos)]  # noqa: E731
    large = bytes(3_000_000)
    return {
        "a photo": (lambda i: request("/predict", form(photo(i))), (200,)),
        "the page": (lambda i: request("/"), (200,)),
        "what it knows": (lambda i: request("/about"), (200,)),
        "a damaged photo": (lambda i: request("/predict", form(photo(i)[: 500 + i])), (200,)),
        "no photo": (lambda i: request("/predict", form(b"text")), (200,)),
        "in chunks": (lambda i: chunked(form(photo(i))), (200,)),
        "too large": (lambda i: request("/predict", form(large)), (413,)),
        "too large, in chunks": (lambda i: chunked(form(large)), (413,)),
        "too many": (lambda i: request("/predict", form(*[b"x"] * 17)), (413,)),
        "broken off": (lambda i: request("/predict", form(photo(i)))[:PARTIAL], (BROKEN_OFF,)),
        "no form": (lambda i: request("/predict", b"\xff" * 99), (400, 422)),
        "an odd charset": (lambda i: request("/predict", form(b"x", name="\\ud800"), Content_Type=ODD), (200,)),
        "of another site": (lambda i: request("/predict", form(photo(i)), Origin="https://shop.example"), (403,)),
        "by another name": (lambda i: request("/", host="shop.example"), (400,)),
        "what is not there": (lambda i: request("/../etc/passwd"), (404,)),
        "no request": (lambda i: b"\x00\x01\r\n\r\n", (400,)),
    }


@dataclass
class Soak:
    """What is asked of the server at this port, and what was seen of its process."""

    port: int
    process: psutil.Process
    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    page_s: float = 0.0
    seconds: float = 0.0

    async def run(self, requests: int, at_once: int) -> None:
        while await self._ask(request("/"), False) != 200:
            await asyncio.sleep(0.5)
        begun, asked, numbers = time.monotonic(), list(kinds().items()), iter(range(requests))

        async def client() -> None:
            for i in numbers:
                await self._one(i, asked[i % len(asked)])
                if i >= min(WARM, requests // 2):
                    self.memory.append(self.process.memory_info().rss)

        await asyncio.gather(*(client() for _ in range(at_once)))
        self.seconds = time.monotonic() - begun

    async def _one(self, number: int, kind: tuple[str, Any]) -> None:
        name, (made, expected) = kind
        begun = time.monotonic()
        status = await self._ask(made(number), name == "broken off")
        if name == "the page":
            self.page_s = max(self.page_s, time.monotonic() - begun)
        self.statuses.setdefault(name, Counter())[status] += 1
        if status not in expected:
            self.wrong.append(f"{name}: {status}, expected {' or '.join(map(str, expected))}")

    async def _ask(self, sent: bytes, away: bool) -> int:
        """Return the status of the answer; a client that goes away does not wait for it."""
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(sent)
                await writer.drain()
                line = b"" if away else await reader.readline()
                return int(line.split()[1]) if line else BROKEN_OFF
            finally:
                writer.close()
        return BROKEN_OFF

    def growth(self) -> float:
        """Return memory at the end by memory after the first requests, each the mean of a tenth of what was measured."""
        tenth = max(1, len(self.memory) // 10)
        return sum(self.memory[-tenth:]) / sum(self.memory[:tenth])

    def seen(self) -> dict[str, Any]:
        memory = {"first": self.memory[0], "most": max(self.memory), "last": self.memory[-1]}
        return {
            "seconds": round(self.seconds, 1),
            "statuses": {name: {str(key): value for key, value in one.items()} for name, one in self.statuses.items()},
            "wrong": self.wrong,
            "memory_gb": {name: round(value / 1e9, 3) for name, value in memory.items()},
            "growth": round(self.growth(), 3),
            "slowest_page_s": round(self.page_s, 2),
        }


if __name__ == "__main__":
    sys.exit(main())
