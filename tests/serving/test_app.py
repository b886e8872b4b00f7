"""The server: it says what `predict` says, gives nothing of its machine away, and bad clients cost it little."""

import io
import re
from pathlib import Path
from typing import ClassVar

import pytest
from fastapi.testclient import TestClient
from garment_keypoints.pipeline import api
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.garments import PhotoResult
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.data.photos import Photo
from garment_keypoints.pipeline.serving.app import HERE, PAGES, Allowance, Limits, create_app
from PIL import Image

from tests.commands.running import run

ROOT = Path(__file__).parents[2]


class Noting:
    """Finds nothing, and notes the photos that it was given."""

    schema: ClassVar[Schema] = load_schema("fashionai")

    def __init__(self) -> None:
        self.photos: list[Photo] = []

    def __call__(self, photo: Photo) -> list[PhotoResult]:
        self.photos.append(photo)
        with Image.open(io.BytesIO(photo.content)) as image:
            return [PhotoResult(photo.name, image.size, [])]


def client(predictor: object = None, **limits: float) -> TestClient:
    return TestClient(create_app(predictor or Noting(), "mine", Limits(**limits)), raise_server_exceptions=False)


def picture(name: str = "a.png") -> tuple[str, tuple[str, bytes]]:
    content = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(content, format="PNG")
    return "photos", (name, content.getvalue())


def test_it_says_what_the_predictor_says(schema: Schema) -> None:
    predictor = api.load(threshold=0.2, device="cpu", pictures=PictureOptions(max_megapixels=0.2))
    files = [ROOT / "docs" / "photos" / "273e292f.jpg", ROOT / "README.md"]
    large = io.BytesIO()
    Image.new("RGB", (800, 900)).save(large, format="PNG")
    uploads = [("photos", (file.name, file.read_bytes())) for file in files] + [
        ("photos", ("large.png", large.getvalue()))
    ]
    told = client(predictor).post("/predict", files=uploads).json()
    (expected,) = predictor(files[0])
    assert told[0] == expected.to_dict() | {"photo": "273e292f.jpg"}
    assert told[0]["garments"]
    assert re.fullmatch(r"README\.md: not an image; .*", told[1]["error"])
    assert "too large an image (800 x 900" in told[2]["error"]
    assert "photo-" not in str(told)
    assert "/tmp" not in str(told)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd.png", "C:\\windows\\a.png", "/root/a.png", "a" * 1000 + ".png", "<b>.png"]
)
def test_names_are_only_shown_and_nothing_is_kept(name: str) -> None:
    predictor = Noting()
    (told,) = client(predictor).post("/predict", files=[picture(name)]).json()
    assert "/" not in told["photo"]
    assert "\\" not in told["photo"]
    assert len(told["photo"]) <= 200
    assert (told["width"], told["height"]) == (8, 6)
    assert isinstance(predictor.photos[0].content, bytes)  # no file of the server's is named after it


def test_too_much_is_refused() -> None:
    one = client(photos=2, megabytes=0.01)
    assert one.post("/predict", files=[picture()] * 3).status_code == 413
    answer = one.post("/predict", files=[("photos", ("a.jpg", b"x" * 20_000))])
    assert (answer.status_code, answer.json()["detail"]) == (413, "a request of 0.0 MB; expected at most 0.01 MB")
    assert one.post("/predict", content=(b"x" for _ in range(3))).status_code == 411
    assert one.post("/predict", files=[("other", ("a.jpg", b"x"))]).status_code == 422
    assert one.post("/predict", data={"photos": "text"}).status_code == 422
    assert one.get("/predict").status_code == 405


def test_a_client_is_told_to_wait() -> None:
    one = client(photos=2, per_minute=3)
    assert one.post("/predict", files=[picture()] * 2).status_code == 200
    answer = one.post("/predict", files=[picture()] * 2)
    assert answer.status_code == 429
    assert 15 <= int(answer.headers["Retry-After"]) <= 21
    assert one.post("/predict", files=[picture()]).status_code == 200


def test_a_request_that_would_wait_for_ever_is_not_offered(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(UserError, match="--photos is 100, --per_minute 60; expected no more photos a request"):
        Limits(photos=100, per_minute=60)
    assert run("serve", "--photos", 100) == 1
    assert "--photos is 100, --per_minute 60" in capsys.readouterr().err


def test_allowances_grow_back_and_are_a_clients_own() -> None:
    now = [0.0]
    allowance = Allowance(60, clock=lambda: now[0])
    assert allowance.take("a", 60) == 0
    assert allowance.take("a", 1) == pytest.approx(1)
    assert allowance.take("b", 60) == 0
    now[0] = 30.0
    assert allowance.take("a", 31) == pytest.approx(1)
    assert allowance.take("a", 30) == 0
    for i in range(20_000):
        allowance.take(str(i), 1)
    assert len(allowance.left) <= 10_000


def test_the_page_is_whole_and_nothing_else_is_served() -> None:
    one = client()
    for place, (file, kind) in PAGES.items():
        answer = one.get(place)
        assert answer.text == (HERE / file).read_text()
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'self'" in answer.headers["content-security-policy"]
    page = one.get("/").text
    assert {link for link in re.findall(r'(?:src|href)="([^"]+)"', page) if link != "data:,"} == {
        "/page.css",
        "/page.js",
    }
    for wanted in set(re.findall(r'at\("(\w+)"\)', one.get("/page.js").text)):
        assert f'id="{wanted}"' in page
    for place in ("/app.py", "/../app.py", "/%2e%2e/app.py", "/docs", "/openapi.json", "/etc/passwd"):
        assert one.get(place).status_code == 404


def test_about(schema: Schema) -> None:
    told = client(photos=5).get("/about").json()
    assert (told["weights"], told["limits"]["photos"]) == ("mine", 5)
    assert told["categories"]["skirt"] == ["waistband_left", "waistband_right", "hemline_left", "hemline_right"]
    assert ["armpit_left", "armpit_right"] in told["sides"]
    assert len(told["sides"]) == len(schema.sides)
