"""A column of the output is added by a module outside of the package: it is in every file, in the API's result, on the page."""

import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from garment_keypoints.pipeline.api import load
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.outputs import ADDED
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.manifest import CatalogueJob, ShardMaker
from garment_keypoints.pipeline.engine.predictor import DetectionOptions
from garment_keypoints.pipeline.learning.pairs import Weights

from tests.commands.running import run

PHOTO = Path(__file__).parents[2] / "docs" / "photos" / "273e292f.jpg"
OPTIONS = ("--workers", 0, "--accelerator", "cpu", "--flip_test", "false", "--overlays", "false")
MODULE = '''
import numpy as np
from garment_keypoints.pipeline.contract.outputs import Column

def width(garment, schema):
    return garment.box[2] - garment.box[0]

def from_centre(garment, schema):
    """How far each point lies from the middle of the box."""
    return np.linalg.norm(garment.xy - (garment.box[:2] + garment.box[2:]) / 2, axis=1)

columns = [Column("box_width", width, unit="px", digits=1), Column("from_centre", from_centre, "points", unit="px", digits=1)]
wrong = 7
'''


@pytest.fixture(autouse=True)
def _module(outside: Path) -> None:
    (outside / "my_columns.py").write_text(MODULE)


def test_a_column_is_added_from_outside(outside: Path, capsys: pytest.CaptureFixture) -> None:
    options = (PHOTO, *OPTIONS, "--out", "out")
    assert run("predict", *options, "--columns", "my_columns:columns") == 0
    (line,) = map(json.loads, Path("out/predictions.jsonl").read_text().splitlines())
    garment = line["garments"][0]
    width = garment["box_width"]
    assert width == pytest.approx(garment["box"][2] - garment["box"][0], abs=0.07)
    name, point = next(iter(garment["points"].items()))
    assert point["from_centre"] > 0
    row = pd.read_csv("out/garments.csv").iloc[0]
    assert (row.box_width, row[f"{name}_from_centre"]) == (width, point["from_centre"])
    attributes = json.loads(Path("out/coco_results.json").read_text())[0]["attributes"]
    assert (attributes["box_width"], attributes["points"][name]) == (width, {"from_centre": point["from_centre"]})
    assert json.loads(Path("out/job.json").read_text())["columns"] == ["box_width", "points.from_centre"]

    result = load(device="cpu", flip_test=False)(PHOTO)[0]  # the columns are registered by now
    assert result.to_dict()["garments"][0]["box_width"] == pytest.approx(width, abs=0.1)
    assert result.column("box_width")[0] == pytest.approx(width, abs=0.1)
    assert result.column("points.from_centre").shape == result.xy.shape[:2]
    assert set(result.to_coco()[0]["attributes"]) == {"box_width", "points"}


def test_a_catalogue_has_it(outside: Path) -> None:
    Path("photos.csv").write_text(f"id,uri\none,{PHOTO}\n")
    device = Device(accelerator="cpu", workers=0)
    ours = (device, PictureOptions(), Weights(), DetectionOptions(flip_test=False), "fashionai", "my_columns:columns")
    maker = ShardMaker(CatalogueJob(Path("photos.csv"), outside / "found", "1/1", 10, *ours))
    maker.make(0)
    table = pq.read_table(maker.out(0)).to_pylist()
    assert table[0]["box_width"] == pytest.approx(table[0]["x1"] - table[0]["x0"], abs=0.1)
    assert table[0]["points"][0]["from_centre"] > 0


def test_the_page_is_told(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = []
    monkeypatch.setattr("uvicorn.Server.run", lambda server: served.append(server.config.app))
    assert run("serve", "--flip_test", "false", "--columns", "my_columns:columns") == 0
    client = TestClient(served[0], "http://localhost")
    assert client.get("/about").json()["columns"] == {
        "": [{"name": "box_width", "unit": "px"}],
        "points": [{"name": "from_centre", "unit": "px"}],
    }
    (told,) = client.post("/predict", files=[("photos", (PHOTO.name, PHOTO.read_bytes()))]).json()
    garment = told["garments"][0]
    assert garment["box_width"] > 0
    assert all(point["from_centre"] > 0 for point in garment["points"].values())


def test_results_of_other_columns_are_another_job(outside: Path, capsys: pytest.CaptureFixture) -> None:
    (outside / "empty").mkdir()
    (outside / "empty" / "a.jpg").write_bytes(b"no image")
    assert run("predict", "empty", *OPTIONS, "--out", "out") == 1  # no photo can be read; the job is there all the same
    assert "columns" not in json.loads(Path("out/job.json").read_text())
    assert run("predict", "empty", *OPTIONS, "--out", "out", "--columns", "my_columns:columns") == 1
    assert "out holds predictions of another job (columns was None, now ['box_width', " in capsys.readouterr().err
    assert run("predict", "empty", *OPTIONS, "--out", "other", "--columns", "my_columns:columns") == 1
    assert "columns" in json.loads(Path("other/job.json").read_text())
    ADDED.clear()
    assert run("predict", "empty", *OPTIONS, "--out", "other") == 1
    assert "now None)" in capsys.readouterr().err


def test_what_names_no_columns_is_refused_by_one_line(outside: Path, capsys: pytest.CaptureFixture) -> None:
    for name, message in (
        (
            "my_columns:wrong",
            "of type int; expected a Column of garment_keypoints.pipeline.contract.outputs, or a list of Columns",
        ),
        ("my_columns:width", "of type function; expected a Column"),
        ("my_colums:columns", "no module 'my_colums'"),
    ):
        assert run("predict", PHOTO, *OPTIONS, "--out", "out", "--columns", name) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: --columns {name}: ")
        assert message in line
