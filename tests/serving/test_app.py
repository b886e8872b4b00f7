"""The server: it says what `predict` says, gives nothing of its machine away, and bad clients cost it little."""

import io
import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fastapi.testclient import TestClient
from garment_keypoints.pipeline import api
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.garments import PhotoResult
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.data.photos import Photo
from garment_keypoints.pipeline.serving.app import HERE, PAGES, create_app
from garment_keypoints.pipeline.serving.limits import Allowance, Limits, names_of
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


def client(predictor: object = None, allow: Sequence[str] = (), **limits: float) -> TestClient:
    app = create_app(predictor or Noting(), "mine", Limits(**limits), allow=allow)
    return TestClient(app, "http://localhost:8000", raise_server_exceptions=False)


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
    assert (answer.status_code, answer.json()["detail"]) == (413, "too large a request; expected at most 0.01 MB")
    assert one.post("/predict", files=[("other", ("a.jpg", b"x"))]).status_code == 422
    assert one.post("/predict", data={"photos": "text"}).status_code == 422
    assert one.get("/predict").status_code == 405


def form(part: bytes, name: bytes = b"a.png", charset: str = "") -> dict[str, Any]:
    head = b'--x\r\nContent-Disposition: form-data; name="photos"; filename="' + name + b'"\r\n\r\n'
    kind = "multipart/form-data; boundary=x" + (f"; charset={charset}" if charset else "")
    return {"content": head + part + b"\r\n--x--\r\n", "headers": {"Content-Type": kind}}


def test_bytes_are_counted_as_they_come() -> None:
    """Whatever length was announced, and of photos that are none as well; reading ends where it is too much."""
    taken = []

    def chunks(whole: bytes) -> Iterator[bytes]:
        for i in range(0, len(whole), 1000):
            taken.append(i)
            yield whole[i : i + 1000]

    sent = form(picture()[1][1])
    one, lied = client(megabytes=0.02), {"Content-Length": "100", "Transfer-Encoding": "chunked"}
    for more in ({}, lied):
        headers = {**sent["headers"], **more}
        assert one.post("/predict", content=chunks(sent["content"]), headers=headers).status_code == 200
        large = chunks(form(bytes(1_000_000))["content"])
        assert one.post("/predict", content=large, headers=headers).status_code == 413


@pytest.mark.parametrize(
    "charset", ["", "unicode_escape", "raw_unicode_escape", "utf-16", "utf-7", "rot13", "no such one"]
)
@pytest.mark.parametrize("name", [b"\\ud800.jpg", b"\\ud800/a.jpg", b"\xff\xfe.jpg", b"\\x00", b"a\x00b"])
def test_odd_charsets_and_names_cost_nothing(charset: str, name: bytes) -> None:
    answer = client().post("/predict", **form(picture()[1][1], name, charset))
    assert answer.status_code in (200, 400, 422), answer.text
    if answer.status_code == 200:
        assert (answer.json()[0]["width"], answer.json()[0]["height"]) == (8, 6)


@pytest.mark.parametrize("charset", ["undefined", "idna", "punycode", "unicode_escape"])
def test_what_is_no_form_is_said(charset: str) -> None:
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    text = b'--x\r\nContent-Disposition: form-data; name="photos"\r\n\r\n\\ud800\xff\r\n--x--\r\n'
    for content in (text, b"--x", b"", b"\xff" * 99):
        answer = client().post("/predict", content=content, headers={"Content-Type": kind})
        assert answer.status_code in (400, 422), answer.text
        assert isinstance(answer.json()["detail"], str)  # the page shows it


def test_other_sites_are_refused_unless_they_are_allowed() -> None:
    """Neither a name that leads here all the same, nor a page of theirs that sends photos to this machine."""
    shop = {"Origin": "https://shop.example:444", "Host": "shop.example"}
    for headers, status in (
        ({"Host": "localhost:9000"}, 200),
        ({"Host": "127.0.0.1"}, 200),
        ({"Host": "shop.example"}, 400),
        ({"Host": "localhost.shop.example"}, 400),
        ({"Origin": "http://localhost:8000"}, 200),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://shop.example:444"}, 403),
        (shop, 403),
    ):
        answer = client().post("/predict", files=[picture()], headers=headers)
        assert answer.status_code == status, headers
        allowed = client(allow=["shop.example", "localhost.shop.example"]).post(
            "/predict", files=[picture()], headers=headers
        )
        assert allowed.status_code == (200 if "shop" in str(headers) else status)
        assert client(allow=["*"]).post("/predict", files=[picture()], headers=headers).status_code == 200
    assert (
        "page of https://shop.example:444; whoever runs the server can allow it by --allow"
        in client().get("/", headers={"Origin": "https://shop.example:444"}).text
    )


def test_names_of_a_server(capsys: pytest.CaptureFixture) -> None:
    assert names_of("127.0.0.1", ["shop.example"]) == ["localhost", "127.0.0.1", "[::1]", "shop.example"]
    assert socket.gethostname().lower() in names_of("0.0.0.0")
    for wrong in ("http://shop.example", "shop.example:80", "*.example"):
        assert run("serve", "--allow", wrong) == 1
        assert f"--allow has {wrong!r}; expected names such as shop.example" in capsys.readouterr().err


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
