"""Many small photos through `predict` and through a cluster of Ray on this machine, undisturbed and disturbed: `make scale`.

The networks are small ones that learn nothing, so that what is measured is the engine. Rows are compared with those of one
undisturbed process, id by id. What is done lies in the folder --work: run again at the same commit, it goes on from there.
"""

import argparse
import math
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
from garment_keypoints.pipeline.contract.files import write_text
from garment_keypoints.pipeline.reporting.tables import as_table
from garment_keypoints.pipeline.runs.json_files import read_json, write_json
from garment_keypoints.pipeline.runs.provenance import provenance
from garment_keypoints.pipeline.sample.write import draw_dataset

from tests.commands.running import TINY
from tests.scale.observed import Observed, compared, done, observed, predicting, rows_of
from tests.scale.poisoned import POISON

ROOT = Path(__file__).parents[2]
SIDE, FILES = 96, 5000
THRESHOLD = 0.013
"""What finds about one garment a photo, in networks that have learned nothing."""
HEAD = ["run", "seconds", "photos a second", "to predict", "GB, first half", "GB, second half", "ids", "lost", "twice",
        "other garments", "other points", "errors"]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.scale", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=50_000)
    parser.add_argument("--shard_size", type=int, default=1000)
    parser.add_argument("--out", type=Path, required=True, help="results: .json, and .md beside it")
    parser.add_argument("--work", type=Path, default=Path("runs/scale"), help="folder for photos and runs (runs/scale)")
    options = parser.parse_args(arguments)
    made = provenance() | {
        "command": shlex.join(["python", "-m", "tests.scale", *sys.argv[1:]])
    }  # and the commit as it is now
    world = World(options.work / f"{options.photos}-{options.shard_size}", options.photos, options.shard_size)
    world.prepare()
    runs = [
        world.once("alone", made["commit"], one_process),
        world.once("parallel", made["commit"], two_processes),
        world.once("catalogue", made["commit"], on_ray),
        world.once("disturbed", made["commit"], disturbed),
    ]
    content = {
        "provenance": made,
        "photos": options.photos,
        "side": SIDE,
        "shard_size": options.shard_size,
        "garments": sum(map(len, world.expected().values())),
        "runs": runs,
    }
    write_json(options.out.with_suffix(".json"), content)
    text = document(content)
    write_text(options.out.with_suffix(".md"), text)
    print(text)
    # The poison photo has another row than of one process: an error.
    return int(any(run["lost"] or run["twice"] or run["points"] or run["others"] != run["poisoned"] for run in runs))


class World:
    """The photos, a manifest with their ids, and two networks."""

    def __init__(self, folder: Path, photos: int, shard_size: int) -> None:
        self.folder, self.photos, self.shard_size = folder.absolute(), photos, shard_size
        self.manifest = self.folder / "manifest.csv"

    def prepare(self) -> None:
        """Draw the photos, some under several ids where there are many, and train the networks."""
        if self.manifest.exists():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        drawn, run = self.folder / "drawn", self.folder / "run"
        draw_dataset(drawn, train=20, test=min(self.photos, FILES), seed=1, size=SIDE)
        photos = sorted((drawn / "test" / "Images").rglob("*.jpg"))
        names = [POISON if i == self.photos // 3 else f"{i:08d}" for i in range(self.photos)]
        lines = [f"{name},{photos[i % len(photos)]}" for i, name in enumerate(names)]
        for verb in ("train-detector", "boxes", "train-keypoints"):
            command = [sys.executable, "-m", "pipeline", verb, *TINY, "--data", drawn / "train", "--run", run]
            subprocess.run(list(map(str, command)), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        write_text(self.manifest, "\n".join(["id,uri", *lines]) + "\n")

    def once(self, name: str, commit: str, run: Callable[["World", Path], dict[str, Any]]) -> dict[str, Any]:
        """Return what a run into the folder of that name gives, or gave at this commit already."""
        file, out = self.folder / f"{name}.json", self.folder / name
        if file.exists() and (there := read_json(file))["commit"] == commit:
            return there
        shutil.rmtree(out, ignore_errors=True)
        made = {"commit": commit, **run(self, out)}
        write_json(file, made)
        return made

    def expected(self) -> dict[str, list[dict[str, Any]]]:
        """Return the rows of one undisturbed process, by id."""
        return rows_of(self.folder / "alone")

    def options(self, out: Path) -> list[object]:
        networks = [self.folder / "run" / stage / "final.safetensors" for stage in ("detector", "keypoints")]
        return ["--manifest", self.manifest, "--out", out, "--shard_size", self.shard_size, "--threshold", THRESHOLD,
                "--flip_test", "false", "--detector", networks[0], "--keypoints", networks[1],
                "--accelerator", "cpu", "--workers", 1]  # fmt: skip


def start(verb: str, *options: object, module: str = "pipeline") -> subprocess.Popen:
    command = [sys.executable, "-m", module, verb, *map(str, options)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)


def succeed(*processes: subprocess.Popen) -> None:
    for process in processes:
        if process.wait():
            raise RuntimeError(f"{process.args} ended with {process.returncode}")


def one_process(world: World, out: Path) -> dict[str, Any]:
    """Predict with all cores in one process: what the others are compared with."""
    with observed() as seen:
        succeed(start("predict", *world.options(out)))
    return entry("predict, one process", seen, world, out)


def two_processes(world: World, out: Path) -> dict[str, Any]:
    """Predict in two processes of a core each that share the work out beforehand, as GNU parallel (or `xargs`) starts them."""
    command = [sys.executable, "-m", "pipeline", "predict", *map(str, world.options(out)), "--shard", "{}/2"]
    starter = ["parallel", "-j", "2", *command, ":::", "1", "2"]
    if shutil.which("parallel") is None:
        starter = ["xargs", "-P", "2", "-I", "{}", *command]
    one_core = os.environ | {"OMP_NUM_THREADS": "1"}
    with observed() as seen:
        subprocess.run(
            starter, input="1\n2\n", text=True, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, env=one_core
        )
    return entry(f"predict --shard I/2 by {starter[0]}", seen, world, out)


def on_ray(world: World, out: Path, disturbances: Sequence[tuple[float, Callable]] = ()) -> dict[str, Any]:
    """Predict on a head and a second raylet, a core each, with what disturbs them at given fractions of the photos."""
    from ray.cluster_utils import Cluster

    scene = Scene(Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 10**8}))
    scene.second = scene.cluster.add_node(num_cpus=1, object_store_memory=10**8)
    scene.cluster.wait_for_nodes()
    module = "tests.scale.poisoned" if disturbances else "pipeline"
    scene.begin = lambda: start(
        "catalogue", *world.options(out), "--address", scene.cluster.address, "--cores", 1, module=module
    )
    try:
        with observed() as seen:
            scene.driver = scene.begin()
            for fraction, play in disturbances:
                there = reached(fraction, scene.driver, world, out)
                scene.played.append(f"{play(scene)} (at {there} photos)")
            succeed(scene.driver)
    finally:
        scene.cluster.shutdown()
    events = [
        f"{what} (after {at:.0f} s)" for run in read_json(out / "catalogue.json")["runs"] for at, what in run["events"]
    ]
    title = "two raylets, disturbed" if disturbances else "two raylets"
    return entry(title, seen, world, out) | {
        "played": scene.played,
        "events": events,
        "poisoned": int(bool(disturbances)),
    }


def disturbed(world: World, out: Path) -> dict[str, Any]:
    """Predict on two raylets, and let happen what may."""
    return on_ray(world, out, DISTURBANCES)


def reached(fraction: float, driver: subprocess.Popen, world: World, out: Path) -> int:
    """Wait until so large a part of the photos is on the disk; return how many are. RuntimeError when the run ends before."""
    while (there := done(out, world.shard_size)) < fraction * world.photos:
        if driver.poll() is not None:
            raise RuntimeError(f"the run ended at {there} photos, before it was disturbed; take more --photos")
        time.sleep(0.2)
    return there


class Scene:
    """A cluster, and the command that runs on it."""

    def __init__(self, cluster: Any) -> None:
        self.cluster, self.second = cluster, None
        self.begin: Callable[[], subprocess.Popen]
        self.driver: subprocess.Popen
        self.played: list[str] = []

    def kill_driver(self) -> str:
        self.driver.kill()
        self.driver.wait()
        self.driver = self.begin()
        return "the command killed, and started again"

    def kill_predictor(self) -> str:
        while not (there := predicting()):
            time.sleep(0.2)  # until the last that died has a successor
        there[0].kill()
        return "a predictor killed, as for want of memory"

    def lose_node(self) -> str:
        self.cluster.remove_node(self.second, allow_graceful=False)
        self.second = self.cluster.add_node(num_cpus=1, object_store_memory=10**8)
        return "the second node killed, and another one started"


DISTURBANCES = ((0.15, Scene.kill_driver), (0.4, Scene.kill_predictor), (0.7, Scene.lose_node))
"""After which fraction of the photos what happens; beside it one photo that a predictor dies of, a third from the start."""


def entry(title: str, seen: Observed, world: World, out: Path) -> dict[str, Any]:
    return {
        "run": title,
        "seconds": round(seen.seconds, 1),
        "photos_per_second": round(world.photos / seen.seconds, 1),
        "memory_gb": [round(seen.peak(0, 0.5), 2), round(seen.peak(0.5, 1), 2)],
        "poisoned": 0,
        **compared(rows_of(out), world.expected()),
    }


def document(content: dict[str, Any]) -> str:
    made, runs = content["provenance"], content["runs"]
    alone = runs[0]["photos_per_second"]
    lines = [
        [one["run"], f"{one['seconds']:.0f}", f"{one['photos_per_second']:.1f}", f"x{one['photos_per_second'] / alone:.2f}",
         *(f"{gb:.2f}" if math.isfinite(gb) else "-" for gb in one["memory_gb"]),
         *(one[name] for name in ("ids", "lost", "twice", "others", "points", "errors"))]
        for one in runs
    ]  # fmt: skip
    told = [f"- {what}" for one in runs for what in (*one.get("played", ()), *one.get("events", ()))]
    return "\n".join(
        [
            "<!-- written by `make scale`; do not edit -->\n",
            "# Many small photos\n",
            f"{content['photos']} photos of {content['side']} pixels with {content['garments']} rows, shards of "
            f"{content['shard_size']}, networks that have learned nothing, no flip test; each run from an empty folder, its "
            "start included. Memory is that of all that predict, what they share counted once. Other garments: ids whose "
            "garments, boxes or errors are not those of one process (the photo that predictors die of; a garment at the "
            "threshold); other points: ids that differ in points alone. One thread instead of two rounds differently, and in "
            "the flat maps of such networks the last digit decides.\n",
            as_table(HEAD, lines),
            "\nWhat was done to the last run, and what it says of it:\n",
            *told,
            f"\n`{made['command']}`, commit {made['commit']}, {psutil.cpu_count()} cores, {made['machine']}\n",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
