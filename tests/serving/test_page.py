"""The page in a real browser: a photo is chosen, points are shown and measured. Needs chromium, its driver, and selenium."""

import os
import shutil
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

webdriver = pytest.importorskip("selenium.webdriver")
PHOTOS = sorted((Path(__file__).parents[2] / "docs" / "photos").glob("*.jpg"))[:2]
PORT = 8391

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("chromedriver"), reason="no chromedriver"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    command = [sys.executable, "-m", "pipeline", "serve", "--port", str(PORT)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert server.stdout.readline().startswith("http://")
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,860"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.chrome.service.Service(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()
        server.terminate()
        server.wait(10)
        server.stdout.close()


def until(true: Callable[[], Any], seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < end
        time.sleep(0.2)
    return value


@pytest.fixture
def all_of(browser: Any) -> Callable[[str], list[Any]]:
    """The page, anew, and what finds its elements by a selector."""
    until(lambda: browser.get(f"http://127.0.0.1:{PORT}/") or True)
    return lambda selector: browser.find_elements("css selector", selector)


def test_photos_are_shown_and_measured(browser: Any, all_of: Callable[[str], list[Any]]) -> None:
    all_of("#files")[0].send_keys("\n".join(map(str, PHOTOS)))
    until(lambda: len(all_of("nav button")) == len(PHOTOS))
    assert [button.text for button in all_of("nav button")] == [file.name for file in PHOTOS]
    all_of("nav button")[0].click()
    assert all_of(".garment b")[0].text.startswith("trousers")
    points = browser.execute_script("return everyPoint()")
    canvas, frame = all_of("#canvas")[0], browser.execute_script("return canvas.getBoundingClientRect().toJSON()")
    scale = frame["width"] / browser.execute_script("return canvas.width")
    for point in points[:2]:
        x, y = (point[axis] * scale - frame[side] / 2 for axis, side in (("x", "width"), ("y", "height")))
        actions = webdriver.ActionChains(browser).move_to_element_with_offset(canvas, round(x), round(y))
        actions.click().perform()
    assert points[1]["name"] in all_of("#tip")[0].text
    distance = ((points[0]["x"] - points[1]["x"]) ** 2 + (points[0]["y"] - points[1]["y"]) ** 2) ** 0.5
    assert all_of("#measure")[0].text == f"{points[0]['name']} to {points[1]['name']}: {distance:.1f} pixels"
    assert browser.get_log("browser") == []  # no error, and nothing that the policy of the page refuses


def test_bad_uploads_are_told_and_the_page_goes_on(
    browser: Any, all_of: Callable[[str], list[Any]], tmp_path: Path
) -> None:
    """Damaged, disguised and oversized files, and a name that would be a script, beside a photo that is one."""
    contents = {
        "cut.jpg": PHOTOS[0].read_bytes()[:900],
        "page.png": b"<html><script>document.title = 'taken'</script></html>",
        "<img src=x onerror=document.title=`taken`>.jpg": b"",
        "huge.png": png_header(60000, 60000),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    files = [*(tmp_path / name for name in contents), PHOTOS[0]]
    all_of("#files")[0].send_keys("\n".join(map(str, files)))
    until(lambda: len(all_of("nav button")) == len(files))
    assert [button.text for button in all_of("nav button")] == [file.name for file in files]
    assert [("bad" in button.get_attribute("class")) for button in all_of("nav button")] == [True] * 4 + [False]
    for number in range(4):
        all_of("nav button")[number].click()
        assert all_of("#message")[0].text
        assert str(tmp_path) not in all_of("#message")[0].text
        assert not all_of("#canvas")[0].is_displayed()
    all_of("nav button")[4].click()
    assert all_of("#canvas")[0].is_displayed()
    assert browser.title != "taken"
    (tmp_path / "notes.txt").write_text("no photo")
    all_of("#files")[0].send_keys(str(tmp_path / "notes.txt"))
    until(lambda: all_of("#message")[0].text == "These are no photos.")
    (tmp_path / "large.jpg").write_bytes(PHOTOS[0].read_bytes() + bytes(21_000_000))
    all_of("#files")[0].send_keys(str(tmp_path / "large.jpg"))
    until(lambda: "20" in all_of("#message")[0].text)
    assert len(all_of("nav button")) == len(files)


def png_header(width: int, height: int) -> bytes:
    """Return the beginning of a PNG that claims this size."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
