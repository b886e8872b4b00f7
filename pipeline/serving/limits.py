"""What a client may cost: bytes as they come, seconds that it is waited for, photos a minute; and who may ask."""

import asyncio
import re
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio
import psutil
from fastapi import HTTPException
from fastapi.responses import JSONResponse
from garment_keypoints.pipeline.contract.faults import UserError
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
EVERYWHERE = ("0.0.0.0", "::")
CLIENTS = 10_000
"""Clients that are remembered; of more, the one that was quiet longest is forgotten."""


@dataclass(frozen=True)
class Limits:
    """What a client may cost."""

    photos: int = 16
    """Photos a request."""
    megabytes: float = 20.0
    """Of a whole request."""
    per_minute: int = 60
    """Photos a minute and client."""
    seconds: float = 60.0
    """Until a request has come whole."""
    connections: int = 100
    """At once, of all clients together."""

    def __post_init__(self) -> None:
        if self.photos > self.per_minute:
            raise UserError(
                f"--photos is {self.photos}, --per_minute {self.per_minute}; expected no more photos a request than a client may "
                "send in a minute, else it would wait for ever"
            )


@dataclass
class Allowance:
    """Photos that each client may still send: as many as a minute brings, growing back evenly."""

    per_minute: int
    clock: Callable[[], float] = time.monotonic
    left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, client: str, photos: int) -> float:
        """Take so many photos of the client's; return 0, or in how many seconds there will be enough."""
        with self.lock:
            now = self.clock()
            count, since = self.left.pop(client, (float(self.per_minute), now))
            count = min(self.per_minute, count + (now - since) * self.per_minute / 60)
            enough = count >= photos
            self.left[client] = (count - photos if enough else count, now)
            if len(self.left) > CLIENTS:
                self.left.popitem(last=False)
            return 0.0 if enough else (photos - count) * 60 / self.per_minute


def names_of(host: str, allow: Sequence[str] = ()) -> list[str]:
    """Return by which names a server that listens at `host` may be asked: this machine's, and those that are allowed.

    Raises UserError for what is no name.
    """
    for name in allow:
        if name != "*" and not re.fullmatch(r"[\w.-]+|\[[\da-fA-F:.]+\]", name):
            raise UserError(f"--allow has {name!r}; expected names such as shop.example, without a port, or * for any")
    here = [host]
    if host in EVERYWHERE:
        addresses = (one.address for some in psutil.net_if_addrs().values() for one in some)
        here = [socket.gethostname().lower(), *addresses]
    names = [f"[{name}]" if ":" in name else name for name in ("localhost", "127.0.0.1", "::1", *here)]
    return list(dict.fromkeys([*names, *(name.lower() for name in allow)]))


class Guard:
    """Stands before the application: refuses pages of other sites, and bodies that are too large or never end."""

    def __init__(self, app: ASGIApp, limits: Limits, allow: Sequence[str]) -> None:
        self.app, self.limits, self.allow = app, limits, allow

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refused = self._refused(Headers(scope=scope))
        try:
            await (refused or self.app)(scope, self._limited(receive), answer)
        except asyncio.CancelledError:
            if started:
                raise
            ending = JSONResponse({"detail": "the server ends; ask again later"}, 503, {"Connection": "close"})
            await ending(scope, receive, answer)

    def _refused(self, headers: Headers) -> JSONResponse | None:
        origin = headers.get("origin", "").partition("://")[2]
        own = "origin" not in headers or origin == headers.get("host")
        if not (own or "*" in self.allow or re.sub(r":\d+$", "", origin) in self.allow):
            detail = (
                f"asked for by a page of {headers['origin'][:200]}; whoever runs the server can allow it by --allow"
            )
            return JSONResponse({"detail": detail}, 403)
        if int(headers.get("content-length", 0)) > 1e6 * self.limits.megabytes:
            return JSONResponse({"detail": self._too_large()}, 413)
        return None

    def _too_large(self) -> str:
        return f"too large a request; expected at most {self.limits.megabytes:g} MB"

    def _limited(self, receive: Receive) -> Receive:
        """Count what comes, whatever length was announced, and wait for it only so long."""
        deadline, count, whole = time.monotonic() + self.limits.seconds, 0, False

        async def limited() -> Message:
            nonlocal count, whole
            try:
                with anyio.fail_after(None if whole else max(0.0, deadline - time.monotonic())):
                    message = await receive()
            except TimeoutError:
                detail = f"the request had not come whole after {self.limits.seconds:g} seconds"
                raise HTTPException(408, detail, {"Connection": "close"}) from None
            count, whole = count + len(message.get("body", b"")), not message.get("more_body", False)
            if count > 1e6 * self.limits.megabytes:
                raise HTTPException(413, self._too_large())
            return message

        return limited
