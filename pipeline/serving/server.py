"""How the application is served: connections that wait for their client only so long, and an end within seconds."""

import asyncio
from functools import partial
from typing import Any

import uvicorn
from garment_keypoints.pipeline.serving.limits import Limits
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

WAIT = 10.0
"""Seconds until a request's header has come, and until an answer has been taken."""
GRACE = 2
"""Seconds in which requests that have come whole may end after SIGTERM or Ctrl-C."""


class Connection(H11Protocol):
    """uvicorn waits for ever for a request, and for its answer to be taken; here the connection is cut after a while."""

    def __init__(self, *arguments: Any, seconds: float, wait: float = WAIT, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.seconds, self.wait = seconds, wait
        self.since = self.loop.time()
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if len(self.connections) > (self.limit_concurrency or 0):
            transport.abort()
        else:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer:
            self.timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self.since = self.loop.time()
        super().on_response_complete()

    def shutdown(self) -> None:
        """End with the server: at once where a request has not come whole."""
        if self._receiving():
            self.transport.abort()
        else:
            super().shutdown()

    def _receiving(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete and self.cycle.more_body

    def _watch(self) -> None:
        now, receiving = self.loop.time(), self._receiving()
        answering = self.cycle is not None and not self.cycle.response_complete and not receiving
        if answering and not self.transport.get_write_buffer_size():
            self.since = now
        elif now - self.since > self.wait + (self.seconds if receiving else 0):
            self.transport.abort()
            return
        self.timer = self.loop.call_later(min(1.0, self.wait / 4), self._watch)


def server(app: ASGIApp, host: str, port: int, limits: Limits, **named: Any) -> uvicorn.Server:
    """Return what serves the application within the limits by its `run`; `named` are the waits of `Connection`."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=partial(Connection, seconds=limits.seconds, **named),
        ws="none",
        log_level="warning",
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=GRACE,
        server_header=False,
    )
    return uvicorn.Server(config)
