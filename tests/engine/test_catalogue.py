"""A shard of a catalogue: every photo once, whatever becomes of the process; and manifests, good and bad."""

import multiprocessing
import os
import signal
import tarfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.formats.catalogue import JOB, Entry, open_manifest
from garment_keypoints.pipeline.contract.garments import Garment, PhotoResult
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.engine import catalogue
from garment_keypoints.pipeline.engine.catalogue import ShardJob, fetched, predict_shard, state_of


def garment(category: str, schema: Schema, score: float = 0.5) -> Garment:
    has = np.zeros(24, dtype=bool)
    has[list(schema.members[category])] = True
    xy, scores = np.where(has[:, None].repeat(2, 1), 7.0, np.nan), np.where(has, 0.25, np.nan)
    return Garment(category, score, np.array([1.0, 2, 30, 40]), xy, scores)


def finding(schema: Schema, seen: list[str] | None = None) -> Callable[..., list[PhotoResult]]:
    """A skirt and a dress in each photo; none where the name says so."""

    def find(names: Sequence[str], files: Sequence[Path]) -> list[PhotoResult]:
        if seen is not None:
            seen.extend(names)
        return [
            PhotoResult(name, (50, 60), [] if "none" in name else [garment(c, schema) for c in ("skirt", "dress")])
            if file.exists()
            else PhotoResult(name, (0, 0), [], f"{file}: missing image")
            for name, file in zip(names, files, strict=True)
        ]

    return find


def shard(folder: Path, schema: Schema, entries: Sequence[Entry]) -> ShardJob:
    for entry in entries:
        if "://" not in entry.uri and "missing" not in entry.uri:
            (folder / entry.uri).write_bytes(b"photo")
    return ShardJob(entries, folder / "out" / "part-000000-ab.parquet", "{}", schema, folder, 1.0)


def test_a_row_a_garment_and_one_of_what_has_none(tmp_path: Path, schema: Schema) -> None:
    entries = [Entry("a", "a.jpg"), Entry("none", "b.jpg"), Entry("c", "missing.jpg"), Entry("d", "d.jpg", "dress")]
    job = shard(tmp_path, schema, entries)
    predict_shard(job, finding(schema))
    table = pq.read_table(job.out)
    assert table.schema.metadata[JOB] == b"{}"
    rows = table.to_pylist()
    assert [(one["id"], one["garment"], one["category"]) for one in rows] == [
        ("a", 0, "skirt"), ("a", 1, "dress"), ("none", None, None), ("c", None, None), ("d", 0, "dress"),
    ]  # fmt: skip
    assert rows[3]["error"] == "missing.jpg: missing image"
    assert [one["error"] for one in rows].count(None) == 4
    assert [rows[0][name] for name in ("width", "height", "x0", "y1", "score")] == [50, 60, 1, 40, 0.5]
    assert [one["keypoint"] for one in rows[0]["points"]] == [schema.keypoints[k] for k in schema.members["skirt"]]
    assert rows[0]["points"][0]["x"] == 7
    assert not job.folder.exists()


def test_what_is_done_is_not_done_again(tmp_path: Path, schema: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "CHUNK", 3)
    job, seen = shard(tmp_path, schema, [Entry(str(i), f"{i}.jpg") for i in range(8)]), []

    def interrupted(names: Sequence[str], files: Sequence[Path]) -> list[PhotoResult]:
        if "3" in names:
            raise KeyboardInterrupt
        return finding(schema, seen)(names, files)

    with pytest.raises(KeyboardInterrupt):
        predict_shard(job, interrupted)
    assert seen == ["0", "1", "2"]
    counted: list[int] = []
    predict_shard(job, finding(schema, seen), counted.append)
    assert seen == [str(i) for i in range(8)]
    assert counted == [3, 3, 2]
    before = job.out.read_bytes()
    predict_shard(job, finding(schema, seen))
    assert len(seen) == 8
    assert job.out.read_bytes() == before


def _dies(job: ShardJob, poison: set[str]) -> None:
    def find(names: Sequence[str], files: Sequence[Path]) -> list[PhotoResult]:
        if poison & set(names):
            os.kill(os.getpid(), signal.SIGKILL)
        return finding(job.schema)(names, files)

    predict_shard(job, find)


def test_photos_that_kill_the_process_are_found_by_halves(tmp_path: Path, schema: Schema) -> None:
    job = shard(tmp_path, schema, [Entry(str(i), f"{i}.jpg") for i in range(40)])
    context, poison, deaths = multiprocessing.get_context("fork"), {"5", "6", "31"}, 0
    states = []
    while not job.out.exists():
        process = context.Process(target=_dies, args=(job, poison))
        process.start()
        process.join()
        deaths += process.exitcode == -signal.SIGKILL
        states.append(state_of(tmp_path / "out", [0]))
        assert deaths < 30
    assert all(a != b for a, b in pairwise(states))  # every death gets on
    assert len(states[-1]) == 1
    assert state_of(tmp_path / "out", [1]) == []
    rows = pq.read_table(job.out).to_pylist()
    errors = {one["id"] for one in rows if one["error"]}
    assert errors == poison
    assert {one["error"] for one in rows if one["error"]} == {catalogue.POISON}
    assert [one["id"] for one in rows if one["garment"] in (None, 0)] == [str(i) for i in range(40)]


def test_photos_of_an_archive_and_of_a_store(tmp_path: Path) -> None:
    (tmp_path / "in.jpg").write_bytes(b"inside")
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        archive.add(tmp_path / "in.jpg", "folder/in.jpg")
    uris = [f"tar://folder/in.jpg::{tmp_path}/photos.tar", "in.jpg", (tmp_path / "in.jpg").as_uri(), "nowhere://a"]
    with fetched(uris, tmp_path, 1.0) as places:
        assert [place.read_bytes() for place in places[:3]] == [b"inside"] * 3
        assert places[1] == tmp_path / "in.jpg"
        assert "nowhere://a: cannot be fetched (ValueError" in str(places[3])
    assert not places[0].exists()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_manifest_is_read_by_pieces(tmp_path: Path, schema: Schema, kind: str) -> None:
    file = tmp_path / f"m.{kind}"
    columns = {"other": list(range(10)), "id": [f"{i:03d}" for i in range(10)], "uri": [f"{i}.jpg" for i in range(10)]}
    columns["category"] = ["skirt", ""] * 5
    if kind == "csv":
        lines = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
        file.write_text("\n".join([",".join(columns), *lines]) + "\n")
    else:
        pq.write_table(pa.table(columns), file, row_group_size=3)
    manifest = open_manifest(file)
    assert len(manifest) == 10
    found = manifest.entries(2, 5, schema)
    assert found == [Entry("002", "2.jpg", "skirt"), Entry("003", "3.jpg"), Entry("004", "4.jpg", "skirt")]
    assert manifest.entries(9, 20, schema)[0].id == "009"


def test_of_a_csv_only_what_is_asked_for_is_parsed(tmp_path: Path, schema: Schema) -> None:
    """Each shard of a catalogue would else cost the whole of it."""
    file, rows = tmp_path / "m.csv", [f"{i},{i}.jpg" for i in range(5000)]
    rows[4500] = "4500,4500.jpg,one too many"
    file.write_text("\n".join(["id,uri", "", *rows[:2000], "", *rows[2000:]]))
    manifest = open_manifest(file)
    assert len(manifest) == 5000
    for first, last in ((0, 2), (1999, 2001), (990, 2010), (3000, 4000)):
        assert [one.id for one in manifest.entries(first, last, schema)] == [str(i) for i in range(first, last)]
    with pytest.raises(UserError, match="not a CSV of id,uri from row 4000 on"):
        manifest.entries(4100, 4200, schema)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,path\n1,a.jpg\n", "no column 'uri'"),
        ("id,uri\n1,a.jpg\n2,b.jpg\n1,b.jpg\n", "rows 0 and 2 have one id; ids name results"),
        ("id,uri\n", "no row in it; expected a photo a row"),
        (
            "id,uri,uri\n1,a.jpg,b.jpg\n",
            "column 'uri' stands 2 times; expected id, uri, and perhaps category, once each",
        ),
        ("id,uri\r1,a.jpg\r2,b.jpg\r", "row 0 holds a CR; expected a line a row, with LF or CR LF at its end"),
        ("id,uri\n1,a.jpg\r2,b.jpg\n", "row 1 holds a CR"),
        ('id,uri\n"1\n2",a.jpg\n', "not a CSV of id,uri from row 0 on"),
        ("id,uri\n1,\n", "row 0: id is '1', uri ''; expected both"),
        ("id,uri,category\n1,a.jpg,hat\n", "category is 'hat'; expected one of blouse"),
        ("id,uri\n1,a.jpg,3\n", "not a CSV of id,uri"),
        ('id,uri\n1,"a\n.jpg"\n', "not a CSV of id,uri"),
    ],
)
def test_faulty_manifests(tmp_path: Path, schema: Schema, content: str, message: str) -> None:
    file = tmp_path / "m.csv"
    file.write_bytes(content.encode())
    with pytest.raises(UserError, match=message):
        _read_whole(file, schema)


def _read_whole(file: Path, schema: Schema) -> list[Entry]:
    manifest = open_manifest(file)
    manifest.refuse_repeated_ids()
    return manifest.entries(0, len(manifest), schema)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([("id", []), ("uri", [])], "no row in it"),
        ([("id", [1, 2, 1]), ("uri", ["a", "b", "c"])], "rows 0 and 2 have one id"),
        ([("id", [["a"], ["a"]]), ("uri", ["a", "b"])], "rows 0 and 1 have one id"),
        ([("id", ["a"]), ("uri", ["a"]), ("uri", ["b"])], "column 'uri' stands 2 times"),
        ([("id", ["a"]), ("uri", [None])], "row 0: id is 'a', uri None; expected both"),
    ],
)
def test_faulty_manifests_of_parquet(tmp_path: Path, schema: Schema, columns: list, message: str) -> None:
    file = tmp_path / "m.parquet"
    names, values = zip(*columns, strict=True)
    pq.write_table(pa.Table.from_arrays([pa.array(one) for one in values], names=names), file, row_group_size=2)
    with pytest.raises(UserError, match=message):
        _read_whole(file, schema)


def test_ids_and_uris_may_be_any_text(tmp_path: Path, schema: Schema) -> None:
    (tmp_path / "m.csv").write_bytes(b"\xef\xbb\xbfid,uri\r\na\0,b\0.jpg\r\n\xe6\xbc\xa2,c.jpg\r\n")
    assert _read_whole(tmp_path / "m.csv", schema) == [Entry("a\0", "b\0.jpg"), Entry("漢", "c.jpg")]
    pq.write_table(pa.table({"id": ["a\nb", "a"], "uri": ["a.jpg", "b.jpg"]}), tmp_path / "m.parquet")
    assert _read_whole(tmp_path / "m.parquet", schema)[0] == Entry("a\nb", "a.jpg")


def test_of_a_large_file_no_more_is_fetched_than_is_allowed(tmp_path: Path) -> None:
    uris = []
    for size in (1_000_000, 1_000_001, 5_000_000):
        (tmp_path / str(size)).write_bytes(bytes(size))
        uris.append((tmp_path / str(size)).as_uri())
    with fetched(uris, tmp_path, 1.0) as (whole, *large):
        assert whole.stat().st_size == 1_000_000
        message = "too large a file; expected at most 1 MB; raise max_megabytes, or leave it out"
        assert large == [f"{uri}: {message}" for uri in uris[1:]]
        assert sum(file.stat().st_size for file in whole.parent.iterdir()) < 3_600_000


def test_files_that_are_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file; expected Parquet or CSV"):
        open_manifest(tmp_path / "none.csv")
    (tmp_path / "m.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match="cannot be read"):
        open_manifest(tmp_path / "m.parquet")
