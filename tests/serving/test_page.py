"""The page in a real browser: a photo is chosen, points are shown and measured. Needs chromium, its driver, and selenium."""

import os
import shutil
import subprocess
import sys
import time
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


def test_photos_are_shown_and_measured(browser: Any) -> None:
    def all_of(selector: str) -> list[Any]:
        return browser.find_elements("css selector", selector)

    until(lambda: browser.get(f"http://127.0.0.1:{PORT}/") or True)
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
