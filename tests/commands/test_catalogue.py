"""Catalogues through the command line: shards, what is there, and processes that die."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from garment_keypoints.pipeline.contract.formats.catalogue import write_found
from garment_keypoints.pipeline.contract.garments import PhotoResult
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.engine import manifest as catalogue
from garment_keypoints.pipeline.engine.catalogue import ShardJob, predict_shard

from tests.commands.running import run, submit_options


@pytest.fixture
def manifest(drawn: Path, tmp_path: Path) -> Path:
    """The ten test pictures of the sample, one that is missing, and one that is no picture."""
    photos = sorted((drawn / "test" / "Images").rglob("*.jpg"))
    (tmp_path / "text.jpg").write_text("no picture")
    lines = [f"{photo.stem},{photo}" for photo in photos] + ["gone,gone.jpg", "text,text.jpg"]
    file = tmp_path / "manifest.csv"
    file.write_text("\n".join(["id,uri", *lines]) + "\n")
    return file


def rows(out: Path) -> list[dict[str, Any]]:
    return [row for file in sorted(out.glob("part-*.parquet")) for row in pq.read_table(file).to_pylist()]


def test_shards_are_made_once_and_hold_every_photo(
    trained: Path, drawn: Path, manifest: Path, tmp_path: Path, capfd
) -> None:
    out = tmp_path / "out"
    networks = submit_options(trained, drawn / "test")[2:]
    command = ["--manifest", manifest, "--out", out, "--shard_size", 5, "--threshold", 0.01, *networks]
    assert run("predict", *command, "--shard", "1/2") == 0
    assert [file.name[:11] for file in sorted(out.glob("part-*"))] == ["part-000000", "part-000002"]
    assert "2 of 3 shards are there, 2 of this share" in capfd.readouterr().out
    before = {file: file.stat().st_mtime_ns for file in out.glob("part-*")}
    assert run("predict", *command) == 0
    assert {file: file.stat().st_mtime_ns for file in before} == before
    found = rows(out)
    ids = [line.split(",")[0] for line in manifest.read_text().splitlines()[1:]]
    assert list(dict.fromkeys(row["id"] for row in found)) == ids
    errors = {row["id"]: row["error"] for row in found if row["error"]}
    assert list(errors) == ["gone", "text"]
    assert errors["text"].startswith("text.jpg: not an image")
    # The same garments as `predict` finds in a folder.
    assert run("predict", drawn / "test" / "Images", "--out", tmp_path / "p", "--threshold", 0.01, *networks) == 0
    lines = (tmp_path / "p" / "garments.csv").read_text().splitlines()
    assert len(lines) - 1 == sum(row["garment"] is not None for row in found)
    assert run("predict", *command, "--threshold", 0.5) == 1
    assert "holds a run with other settings (threshold was 0.01, now 0.5)" in capfd.readouterr().err


def dying(job: catalogue.CatalogueJob, sender: Any) -> None:
    """Stands in for the process's work: a photo kills it, or, where the manifest says so, whatever it does."""
    schema = load_schema()
    manifest = catalogue.open_manifest(job.manifest)

    def find(names: list[str], files: list[Path]) -> list[PhotoResult]:
        if "gone" in names:
            os.kill(os.getpid(), signal.SIGKILL)
        return [PhotoResult(name, (9, 9), []) for name in names]

    if job.shard == "2/2":
        os.kill(os.getpid(), signal.SIGKILL)
    out = job.out / "part-000000-ab.parquet"
    predict_shard(ShardJob(manifest.entries(0, 9, schema), out, "{}", schema, job.manifest.parent, 1.0), find)


@pytest.mark.slow
def test_a_process_that_dies_of_a_photo_is_started_again(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, caplog
) -> None:
    monkeypatch.setattr(catalogue, "_work", dying)
    manifest.write_text("id,uri\ngone,gone.jpg\ntext,text.jpg\n")
    command = ["--manifest", manifest, "--out", tmp_path / "out"]
    assert run("predict", *command) == 0
    assert {row["id"] for row in rows(tmp_path / "out") if row["error"]} == {"gone"}
    assert len(rows(tmp_path / "out")) == 2
    assert "the process that predicts died (signal 9, perhaps for want of memory)" in caplog.text
    assert run("predict", "--manifest", manifest, "--out", tmp_path / "other", "--shard", "2/2") == 1
    assert "died 2 times" in capsys.readouterr().err


def sleeping(job: catalogue.CatalogueJob, sender: Any) -> None:
    """Stands in for the process's work, and says that it has begun."""
    (job.out / "begun").touch()
    time.sleep(120)


def test_a_signal_to_the_command_alone_ends_its_process(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "_work", sleeping)
    monkeypatch.setattr(catalogue, "GRACE_S", 0.1)
    begun = tmp_path / "out" / "begun"

    def kill() -> None:
        while not begun.exists():
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=kill, daemon=True).start()
    start = time.monotonic()
    assert run("predict", "--manifest", manifest, "--out", tmp_path / "out") == 128 + signal.SIGTERM
    assert time.monotonic() - start < 60
    assert not multiprocessing.active_children()


def test_what_it_refuses(manifest: Path, tmp_path: Path, capsys) -> None:
    cr, repeated = tmp_path / "cr.csv", tmp_path / "repeated.csv"
    cr.write_bytes(b"id,uri\ra,a.jpg\r")
    repeated.write_text("id,uri\na,a.jpg\na,b.jpg\n")
    for options, message in (
        ([tmp_path, "--manifest", manifest], "and not both"),
        ([], "expected photos to predict, or a catalogue"),
        (["--manifest", manifest, "--limit", 10], "--limit is 10, which says nothing about --manifest"),
        ([tmp_path, "--shard", "2/8"], "--shard is 2/8, which says nothing about photos that are named"),
        (["--manifest", manifest, "--shard", "0/2"], "--shard is '0/2'; expected I/N"),
        (["--manifest", manifest, "--shard_size", 0], "--shard_size is 0; expected 1 or more"),
        (["--manifest", tmp_path / "none.csv"], "no such file"),
        (["--manifest", cr], "row 0 holds a CR"),
        (["--manifest", repeated, "--shard_size", 1], "rows 0 and 1 have one id"),
    ):
        assert run("predict", *options, "--out", tmp_path / "out") == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_exit_status_is_1_when_no_photo_could_be_read(
    manifest: Path, tmp_path: Path, schema: Schema, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """Shards that another process is yet to make may still have some."""
    out, errors = tmp_path / "out", {"gone", "text"}

    def made(job: catalogue.CatalogueJob) -> tuple[int, str]:
        entries = catalogue.open_manifest(job.manifest).entries(0, 9, schema)
        results = [PhotoResult(one.id, (9, 9), [], "unread" if one.id in errors else "") for one in entries]
        write_found(out / "part-000000-ab.parquet", entries, results, "{}", schema)
        return 0, ""

    monkeypatch.setattr(catalogue, "_in_a_process", made)
    for rows, size, status in (
        ("gone,a.jpg\ntext,b.jpg", 9, 1),
        ("gone,a.jpg\nc,c.jpg", 9, 0),
        ("gone,a.jpg\nb,b.jpg", 1, 0),
    ):
        manifest.write_text(f"id,uri\n{rows}\n")
        assert run("predict", "--manifest", manifest, "--out", out, "--shard_size", size) == status
        assert ("no photo could be read; the column error says why" in capsys.readouterr().out) == bool(status)
