"""`plan-catalogue` through the command line."""

import json
from pathlib import Path

from tests.commands.running import run

SMALL = ("--photos", 200_000, "--shard_sizes", 500, 5000, 50_000, "--repeats", 2, "--processes", 8)


def test_a_plan_is_a_table_a_figure_and_a_record(tmp_path: Path, capsys) -> None:
    out = tmp_path / "plan"
    assert run("plan-catalogue", "--out", out, *SMALL) == 0
    record = json.loads((out / "plan.json").read_text())
    assert [row["shards"] for row in record["plan"]] == [400, 40, 4]
    # Four shards keep four of the eight processes busy.
    assert record["plan"][2]["taken"]["ratio"] > 1.8 > 1.3 > record["plan"][0]["taken"]["ratio"]
    text = (out / "plan.md").read_text()
    assert f"**{record['suggested']} photos**" in text
    assert "processes 8" in text
    assert (out / "plan.png").exists()
    assert f"shards of {record['suggested']} photos" in capsys.readouterr().out
    before = text
    assert run("plan-catalogue", "--out", out, *SMALL) == 0
    assert (out / "plan.md").read_text() == before


def test_what_is_no_plan(tmp_path: Path, capsys) -> None:
    out = tmp_path / "plan"
    assert run("plan-catalogue", "--out", out, *SMALL, "--repeats", 0) == 1
    assert "--repeats is 0" in capsys.readouterr().err
    assert run("plan-catalogue", "--out", out, *SMALL, "--shard_sizes", 0) == 1
    assert "200000 photos in shards of 0" in capsys.readouterr().err
    assert run("plan-catalogue", "--out", out, *SMALL, "--death_hours", -1) == 1
    assert "death_hours is -1.0; expected" in capsys.readouterr().err
    assert not out.exists()
    out.mkdir()
    (out / "plan.json").write_text("{}")
    assert run("plan-catalogue", "--out", out, *SMALL) == 1
    assert "plan.json" in capsys.readouterr().err
