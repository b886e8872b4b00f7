"""Many small photos through `predict` and through a cluster of Ray on this machine, undisturbed and disturbed: `make scale`.

The networks are small ones that learn nothing, so that what is measured is the engine. Rows are compared with those of one
undisturbed process, id by id.
"""

import argparse
import math
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from pipeline.contract.files import write_text
from pipeline.reporting.records import provenance, read_json, write_json
from pipeline.reporting.tables import as_table
from pipeline.sample.write import draw_dataset
from tests.commands.running import TINY
from tests.scale.observed import Observed, compared, done, observed, predicting, rows_of
from tests.scale.poisoned import POISON

ROOT = Path(__file__).parents[2]
SIDE, FILES = 96, 5000
THRESHOLD = 0.01
HEAD = ["run", "seconds", "photos a second", "to predict", "GB, first half", "GB, second half", "ids", "lost", "twice",
        "other rows", "errors"]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.scale", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=50_000)
    parser.add_argument("--shard_size", type=int, default=1000)
    parser.add_argument("--out", type=Path, required=True, help="results: .json, and .md beside it")
    parser.add_argument(
        "--work", type=Path, help="folder for the photos and runs, gone on with; without it a temporary one"
    )
    options = parser.parse_args(arguments)
    made = provenance() | {
        "command": shlex.join(["python", "-m", "tests.scale", *sys.argv[1:]])
    }  # and the commit as it is now
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        world = World(options.work or Path(folder), options.photos, options.shard_size)
        world.prepare()
        runs = [
            one_process(world),
            two_processes(world),
            on_ray(world, "catalogue", "two raylets"),
            on_ray(world, "disturbed", "two raylets, disturbed", DISTURBANCES),
        ]
    content = {
        "provenance": made,
        "photos": options.photos,
        "side": SIDE,
        "shard_size": options.shard_size,
        "runs": runs,
    }
    write_json(options.out.with_suffix(".json"), content)
    text = document(content)
    write_text(options.out.with_suffix(".md"), text)
    print(text)
    # The poison photo has another row than of one process: an error.
    return int(any(run["lost"] or run["twice"] or run["others"] != run["poisoned"] for run in runs))


class World:
    """The photos, a manifest with their ids, and two networks."""

    def __init__(self, folder: Path, photos: int, shard_size: int) -> None:
        self.folder, self.photos, self.shard_size = folder.absolute(), photos, shard_size
        self.manifest = self.folder / "manifest.csv"
        self.expected: dict[str, list[dict[str, Any]]] = {}

    def prepare(self) -> None:
        """Draw the photos, some under several ids where there are many, and train the networks."""
        drawn, run = self.folder / "drawn", self.folder / "run"
        draw_dataset(drawn, train=20, test=min(self.photos, FILES), seed=1, size=SIDE)
        photos = sorted((drawn / "test" / "Images").rglob("*.jpg"))
        names = [POISON if i == self.photos // 3 else f"{i:08d}" for i in range(self.photos)]
        lines = [f"{name},{photos[i % len(photos)]}" for i, name in enumerate(names)]
        write_text(self.manifest, "\n".join(["id,uri", *lines]) + "\n")
        for verb in ("train-detector", "boxes", "train-keypoints"):
            command = [sys.executable, "-m", "pipeline", verb, *TINY, "--data", drawn / "train", "--run", run]
            subprocess.run(list(map(str, command)), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)

    def options(self, out: Path) -> list[object]:
        networks = [self.folder / "run" / stage / "final.safetensors" for stage in ("detector", "keypoints")]
        return ["--manifest", self.manifest, "--out", out, "--shard_size", self.shard_size, "--threshold", THRESHOLD,
                "--detector", networks[0], "--keypoints", networks[1], "--accelerator", "cpu", "--workers", 1]  # fmt: skip

    def fresh(self, name: str) -> Path:
        out = self.folder / name
        shutil.rmtree(out, ignore_errors=True)
        return out


def start(verb: str, *options: object, module: str = "pipeline") -> subprocess.Popen:
    command = [sys.executable, "-m", module, verb, *map(str, options)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)


def succeed(*processes: subprocess.Popen) -> None:
    for process in processes:
        if process.wait():
            raise RuntimeError(f"{process.args} ended with {process.returncode}")


def one_process(world: World) -> dict[str, Any]:
    """Predict with all cores in one process: what the others are compared with."""
    out = world.fresh("alone")
    with observed() as seen:
        succeed(start("predict", *world.options(out)))
    world.expected = rows_of(out)
    return entry("predict, one process", seen, world, out)


def two_processes(world: World) -> dict[str, Any]:
    """Predict in two processes that share the work out beforehand, as GNU parallel starts them (`xargs` where it is not)."""
    out = world.fresh("parallel")
    command = [sys.executable, "-m", "pipeline", "predict", *map(str, world.options(out)), "--shard", "{}/2"]
    starter = ["parallel", "-j", "2", *command, ":::", "1", "2"]
    if shutil.which("parallel") is None:
        starter = ["xargs", "-P", "2", "-I", "{}", *command]
    with observed() as seen:
        subprocess.run(starter, input="1\n2\n", text=True, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return entry(f"predict --shard I/2 by {starter[0]}", seen, world, out)


def on_ray(world: World, name: str, title: str, disturbances: Sequence[tuple[float, Callable]] = ()) -> dict[str, Any]:
    """Predict on a head and a second raylet, a core each, with what disturbs them at given fractions of the photos."""
    from ray.cluster_utils import Cluster

    out = world.fresh(name)
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
            waiting = threading.Thread(target=disturb, args=(scene, disturbances, world, out), daemon=True)
            waiting.start()
            while scene.driver.wait() == -signal.SIGKILL and waiting.is_alive():
                waiting.join(0.5)  # until another one has been started in its place
            succeed(scene.driver)
        waiting.join()
        if len(scene.played) < len(disturbances):
            raise RuntimeError(f"the run ended before it was disturbed {len(disturbances)} times; take more --photos")
    finally:
        scene.cluster.shutdown()
    events = [
        f"{what} (after {at:.0f} s)" for run in read_json(out / "catalogue.json")["runs"] for at, what in run["events"]
    ]
    return entry(title, seen, world, out) | {
        "played": scene.played,
        "events": events,
        "poisoned": int(bool(disturbances)),
    }


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
        predicting()[0].kill()
        return "a predictor killed, as for want of memory"

    def lose_node(self) -> str:
        self.cluster.remove_node(self.second, allow_graceful=False)
        self.second = self.cluster.add_node(num_cpus=1, object_store_memory=10**8)
        return "the second node killed, and another one started"


DISTURBANCES = ((0.15, Scene.kill_driver), (0.4, Scene.kill_predictor), (0.7, Scene.lose_node))
"""After which fraction of the photos what happens; beside it one photo that a predictor dies of, a third from the start."""


def disturb(scene: Scene, disturbances: Sequence[tuple[float, Callable]], world: World, out: Path) -> None:
    for fraction, play in disturbances:
        while (there := done(out, world.shard_size)) < fraction * world.photos:
            time.sleep(0.2)
        scene.played.append(f"{play(scene)} (at {there} photos)")


def entry(title: str, seen: Observed, world: World, out: Path) -> dict[str, Any]:
    return {
        "run": title,
        "seconds": round(seen.seconds, 1),
        "photos_per_second": round(world.photos / seen.seconds, 1),
        "memory_gb": [round(seen.peak(0, 0.5), 2), round(seen.peak(0.5, 1), 2)],
        "poisoned": 0,
        **compared(rows_of(out), world.expected),
    }


def document(content: dict[str, Any]) -> str:
    made, runs = content["provenance"], content["runs"]
    alone = runs[0]["photos_per_second"]
    lines = [
        [one["run"], f"{one['seconds']:.0f}", f"{one['photos_per_second']:.1f}", f"x{one['photos_per_second'] / alone:.2f}",
         *(f"{gb:.2f}" if math.isfinite(gb) else "-" for gb in one["memory_gb"]),
         *(one[name] for name in ("ids", "lost", "twice", "others", "errors"))]
        for one in runs
    ]  # fmt: skip
    told = [f"- {what}" for one in runs for what in (*one.get("played", ()), *one.get("events", ()))]
    return "\n".join(
        [
            "<!-- written by `make scale`; do not edit -->\n",
            "# Many small photos\n",
            f"{content['photos']} photos of {content['side']} pixels, shards of {content['shard_size']}, networks that have "
            "learned nothing; each run from an empty folder, its start included. Memory is that of all that predict, what they "
            "share counted once. Other rows: ids whose rows are not those of one process (the photo that predictors die of).\n",
            as_table(HEAD, lines),
            "\nWhat was done to the last run, and what it says of it:\n",
            *told,
            f"\n`{made['command']}`, commit {made['commit']}, {psutil.cpu_count()} cores, {made['machine']}\n",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
