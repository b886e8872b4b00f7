"""A catalogue on a real cluster of Ray, two raylets on this machine, and what may go wrong with it."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from garment_keypoints.pipeline.commands import catalogue as verb

from tests.commands.running import run, submit_options
from tests.scale.poisoned import POISON, Poisoned

pytest.importorskip("ray")
pytestmark = [pytest.mark.scale, pytest.mark.filterwarnings("ignore")]
ROOT = Path(__file__).parents[2]
PHOTOS, SHARD = 120, 10


@pytest.fixture
def nodes() -> Iterator[Any]:
    """A head and a second raylet, a core each."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 10**8})
    made.second = made.add_node(num_cpus=1, object_store_memory=10**8)
    made.wait_for_nodes()
    yield made
    made.shutdown()


@pytest.fixture
def manifest(drawn: Path, tmp_path: Path) -> Path:
    """The ten test pictures of the sample under many ids."""
    photos = sorted((drawn / "test" / "Images").rglob("*.jpg"))
    lines = [f"{i:04d},{photos[i % len(photos)]}" for i in range(PHOTOS)]
    file = tmp_path / "manifest.csv"
    file.write_text("\n".join(["id,uri", *lines]) + "\n")
    return file


def options(trained: Path, drawn: Path, manifest: Path, out: Path, shard: int = SHARD) -> list[object]:
    networks = submit_options(trained, drawn / "test")[2:]
    return ["--manifest", manifest, "--out", out, "--shard_size", shard, "--threshold", 0.01, *networks]


def rows(out: Path) -> list[dict[str, Any]]:
    return [row for file in sorted(out.glob("part-*.parquet")) for row in pq.read_table(file).to_pylist()]


def check_whole(out: Path, ids: list[str]) -> None:
    """Every id is there, in one place, its rows together and numbered once."""
    found = rows(out)
    assert list(dict.fromkeys(row["id"] for row in found)) == ids
    assert max(Counter((row["id"], row["garment"]) for row in found).values()) == 1
    assert not list(out.glob("*.parts"))


def ids_of(manifest: Path) -> list[str]:
    return [line.split(",")[0] for line in manifest.read_text().splitlines()[1:]]


def events(out: Path) -> list[str]:
    return [what for one in json.loads((out / "catalogue.json").read_text())["runs"] for _, what in one["events"]]


def once_begun(out: Path, then: Callable[[], None]) -> threading.Thread:
    """Do something as soon as a shard is there."""
    return once(lambda: bool(list(out.glob("part-*.parquet"))), then)


def once(it_is: Callable[[], bool], then: Callable[[], None]) -> threading.Thread:
    def wait() -> None:
        while not it_is():
            time.sleep(0.05)
        then()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_the_rows_are_those_of_one_process(
    nodes: Any, trained: Path, drawn: Path, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    out, alone = tmp_path / "out", tmp_path / "alone"
    assert run("catalogue", *options(trained, drawn, manifest, out), "--address", nodes.address, "--cores", 1) == 0
    shards = json.loads((out / "catalogue.json").read_text())["runs"][0]["shards"]
    assert sum(one["photos"] for one in shards) == PHOTOS
    assert len({one["node"] for one in shards}) == 2
    assert f"{PHOTOS} photos, {PHOTOS // SHARD} shards made in" in capfd.readouterr().out
    check_whole(out, ids_of(manifest))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as each of the two, since another number rounds differently
    assert run("predict", *options(trained, drawn, manifest, alone)) == 0
    assert rows(out) == rows(alone)
    # Done is done.
    assert run("catalogue", *options(trained, drawn, manifest, out), "--address", nodes.address, "--cores", 1) == 0
    assert json.loads((out / "catalogue.json").read_text())["runs"][1]["shards"] == []


def test_a_node_is_lost(nodes: Any, trained: Path, drawn: Path, manifest: Path, tmp_path: Path) -> None:
    out, lines = tmp_path / "out", manifest.read_text().splitlines()
    # Enough that the second predictor is at work long before the end, however slow it starts.
    manifest.write_text("\n".join([lines[0], *(f"{copy}{line}" for copy in "abcd" for line in lines[1:])]) + "\n")
    lost = once(
        lambda: len(list(out.glob("part-*.parts"))) > 1,
        lambda: nodes.remove_node(nodes.second, allow_graceful=False),
    )
    assert run("catalogue", *options(trained, drawn, manifest, out), "--address", nodes.address, "--cores", 1) == 0
    lost.join(60)
    check_whole(out, ids_of(manifest))
    assert any("died" in one for one in events(out))


def test_a_predictor_is_killed_as_for_want_of_memory(
    nodes: Any, trained: Path, drawn: Path, manifest: Path, tmp_path: Path
) -> None:
    def kill() -> None:
        running = [
            one
            for one in psutil.process_iter(["cmdline"])
            if "ray::CatalogueActor" in " ".join(one.info["cmdline"] or [])
        ]
        running[0].kill()

    out = tmp_path / "out"
    once_begun(out, kill)
    assert run("catalogue", *options(trained, drawn, manifest, out), "--address", nodes.address, "--cores", 1) == 0
    check_whole(out, ids_of(manifest))
    assert any("died" in one for one in events(out))


def test_a_photo_that_predictors_die_of(
    nodes: Any, trained: Path, drawn: Path, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verb, "CatalogueActor", Poisoned)
    lines = manifest.read_text().replace("\n0005,", f"\n{POISON},").splitlines()
    manifest.write_text("\n".join(lines[:13]) + "\n")
    out = tmp_path / "out"
    assert run("catalogue", *options(trained, drawn, manifest, out, 4), "--address", nodes.address, "--cores", 1) == 0
    check_whole(out, ids_of(manifest))
    assert {row["id"]: row["error"] for row in rows(out) if row["error"]} == {POISON: "the process that read it died"}


def test_the_driver_is_killed_and_started_again(
    nodes: Any, trained: Path, drawn: Path, manifest: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [*options(trained, drawn, manifest, out), "--address", nodes.address, "--cores", 1]
    driver = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "catalogue", *map(str, command)], cwd=ROOT, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    once_begun(out, driver.kill).join(120)
    assert driver.wait(60) == -signal.SIGKILL
    before = len(list(out.glob("part-*.parquet")))
    assert 0 < before < PHOTOS // SHARD
    assert run("catalogue", *command) == 0
    check_whole(out, ids_of(manifest))
    assert len(json.loads((out / "catalogue.json").read_text())["runs"][0]["shards"]) <= PHOTOS // SHARD - before


def test_no_cluster_there(trained: Path, drawn: Path, manifest: Path, tmp_path: Path, capsys) -> None:
    command = options(trained, drawn, manifest, tmp_path / "out")
    assert run("catalogue", *command, "--predictors", -1) == 1
    assert "--predictors is -1" in capsys.readouterr().err
    assert run("catalogue", *command, "--address", "nowhere") == 1
    assert "--address is 'nowhere'" in capsys.readouterr().err
