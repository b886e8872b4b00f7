"""The server's application: a page to drop photos on, and the endpoint behind it. Nothing that is sent is kept.

What a photo may cost is the business of PictureOptions, what a client may cost that of `Limits`.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from fastapi import FastAPI, HTTPException, Request, UploadFile
from fastapi.responses import FileResponse, JSONResponse, Response
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.garments import PhotoResult
from garment_keypoints.pipeline.contract.outputs import GROUPS, PAGE, columns
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.photos import Photo

HERE = Path(__file__).parent
PAGES = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
CLIENTS = 10_000
"""Clients that are remembered; of more, the one that was quiet longest is forgotten."""


class Finds(Protocol):
    """What the server asks of a predictor."""

    schema: Schema

    def __call__(self, photos: Any) -> list[PhotoResult]: ...


@dataclass(frozen=True)
class Limits:
    """What a client may cost."""

    photos: int = 16
    """Photos a request."""
    megabytes: float = 20.0
    """Of a whole request."""
    per_minute: int = 60
    """Photos a minute and client."""

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


def create_app(predictor: Finds, name: str, limits: Limits | None = None) -> FastAPI:
    """Make the application; `predictor` finds garments in photos, `name` is what its weights are called."""
    limits = limits or Limits()
    app = FastAPI(title="garment-keypoints", docs_url=None, redoc_url=None, openapi_url=None)
    allowance, one_at_a_time = Allowance(limits.per_minute), threading.Lock()

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable) -> Response:
        refused = _too_large(request, limits)
        response = refused or await call_next(request)
        response.headers.update(HEADERS)
        return response

    for place, (file, kind) in PAGES.items():
        app.get(place)(_page(HERE / file, kind))

    @app.get("/about")
    def about() -> dict[str, Any]:
        schema = predictor.schema
        members = {category: [schema.keypoints[k] for k in points] for category, points in schema.members.items()}
        sides = [[schema.keypoints[k] for k in pair] for pair in schema.sides]
        shown = {
            group: [{"name": one.name, "unit": one.unit} for one in columns(PAGE, group)] for group in ("", *GROUPS)
        }
        return {"weights": name, "categories": members, "sides": sides, "columns": shown, "limits": vars(limits)}

    @app.post("/predict")
    def predict(request: Request, photos: list[UploadFile]) -> list[dict[str, Any]]:
        """Return what a line of predictions.jsonl holds, for each photo in turn."""
        if len(photos) > limits.photos:
            raise HTTPException(413, f"{len(photos)} photos at once; expected at most {limits.photos}")
        wait = allowance.take(request.client.host if request.client else "", len(photos))
        if wait:
            seconds = str(int(wait) + 1)
            raise HTTPException(429, f"too many photos; try again in {seconds} seconds", {"Retry-After": seconds})
        found = []
        for photo in photos:
            shown = PurePosixPath((photo.filename or "photo").replace("\\", "/")).name[:200]
            with one_at_a_time:
                results = predictor(Photo(shown, photo.file.read()))
            found += [one.as_dict(predictor.schema) for one in results]
        return found

    return app


def _page(file: Path, kind: str) -> Callable[[], FileResponse]:
    return lambda: FileResponse(file, media_type=kind)


def _too_large(request: Request, limits: Limits) -> JSONResponse | None:
    """Refuse a request by its announced length; one that announces none is refused too, since it might never end."""
    if request.method != "POST":
        return None
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        return JSONResponse({"detail": "the length of the request has to be told"}, 411)
    if int(length) > 1e6 * limits.megabytes:
        return JSONResponse(
            {"detail": f"a request of {int(length) / 1e6:.1f} MB; expected at most {limits.megabytes:g} MB"}, 413
        )
    return None
