"""The server's application: a page to drop photos on, and the endpoint behind it. Nothing that is sent is kept.

What a photo may cost is the business of PictureOptions, what a client may cost that of `Limits`.
"""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import anyio
from fastapi import FastAPI, HTTPException, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from garment_keypoints.pipeline.contract.garments import PhotoResult
from garment_keypoints.pipeline.contract.outputs import GROUPS, PAGE, columns
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.photos import Photo
from garment_keypoints.pipeline.serving.limits import Allowance, Guard, Limits, names_of
from starlette.middleware.trustedhost import TrustedHostMiddleware

HERE = Path(__file__).parent
PAGES = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}


class Finds(Protocol):
    """What the server asks of a predictor."""

    schema: Schema

    def __call__(self, photos: Any) -> list[PhotoResult]: ...


def create_app(
    predictor: Finds, name: str, limits: Limits | None = None, host: str = "127.0.0.1", allow: Sequence[str] = ()
) -> FastAPI:
    """Make the application; `predictor` finds garments in photos, `name` is what its weights are called.

    It listens at `host`; `allow` names are those of `names_of`, whose pages may send photos too.
    """
    limits = limits or Limits()
    app = FastAPI(title="garment-keypoints", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=names_of(host, allow), www_redirect=False)
    app.add_middleware(Guard, limits=limits, allow=allow)
    allowance, one_at_a_time = Allowance(limits.per_minute), anyio.CapacityLimiter(1)

    @app.exception_handler(RequestValidationError)
    async def no_photos(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": "expected a form with files named photos"}, 422)

    for place, (file, kind) in PAGES.items():
        app.get(place)(_page(HERE / file, kind))

    @app.get("/about")
    async def about() -> dict[str, Any]:
        schema = predictor.schema
        members = {category: [schema.keypoints[k] for k in points] for category, points in schema.members.items()}
        sides = [[schema.keypoints[k] for k in pair] for pair in schema.sides]
        shown = {
            group: [{"name": one.name, "unit": one.unit} for one in columns(PAGE, group)] for group in ("", *GROUPS)
        }
        return {"weights": name, "categories": members, "sides": sides, "columns": shown, "limits": vars(limits)}

    @app.post("/predict")
    async def predict(request: Request, photos: list[UploadFile]) -> list[dict[str, Any]]:
        """Return what a line of predictions.jsonl holds, for each photo in turn."""
        if len(photos) > limits.photos:
            raise HTTPException(413, f"{len(photos)} photos at once; expected at most {limits.photos}")
        wait = allowance.take(request.client.host if request.client else "", len(photos))
        if wait:
            seconds = str(int(wait) + 1)
            raise HTTPException(429, f"too many photos; try again in {seconds} seconds", {"Retry-After": seconds})
        found = []
        for photo in photos:
            one = Photo(_shown(photo.filename), await photo.read())
            # In a thread of its own, so that pages are quick; what is left of it when the server ends is left.
            results = await anyio.to_thread.run_sync(predictor, one, abandon_on_cancel=True, limiter=one_at_a_time)
            found += [one.as_dict(predictor.schema) for one in results]
        return found

    return app


def _page(file: Path, kind: str) -> Callable[[], Awaitable[Response]]:
    content = file.read_bytes()

    async def page() -> Response:
        return Response(content, media_type=kind)

    return page


def _shown(name: str | None) -> str:
    """Return what of a file's name can be shown; an odd charset of the request's may give what is no text."""
    text = (name or "photo").encode("utf-8", "replace").decode()
    return PurePosixPath(text.replace("\\", "/")).name[:200]
