"""Training in one process, in two and in four, and as two nodes of torchrun: `make scale-training`.

On a machine with few cores more processes cannot be faster; what is shown is what they cost there, and that they end with
the same networks as far as rounding goes.
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from pipeline.contract.files import write_text
from pipeline.reporting.records import provenance, read_json, write_json
from pipeline.reporting.tables import as_table
from pipeline.sample.write import draw_dataset

ROOT = Path(__file__).parents[2]
CONFIG = "configs/sample.yaml"
PORT = 29517
STEPS = ("train-detector", "boxes", "train-keypoints")
HEAD = ["processes", "seconds: detectors", "boxes", "keypoints", "AP50 out of fold", "mean IoU", "NE in percent",
        "apart: detector", "keypoints"]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.scale.training", description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--out", type=Path, required=True, help="results: .json, and .md beside it")
    options = parser.parse_args(arguments)
    made = provenance() | {"command": shlex.join(["python", "-m", "tests.scale.training", *sys.argv[1:]])}
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="training-") as folder:
        place = Path(folder)
        draw_dataset(place / "drawn", train=options.images, test=1, seed=0)
        for title, devices, nodes in (("1", 1, 1), ("2", 2, 1), ("4", 4, 1), ("2 nodes of torchrun", 1, 2)):
            run = place / f"run{len(runs)}"
            seconds = {step: timed(step, place, run, devices, nodes) for step in STEPS}
            runs.append({"processes": title, "seconds": seconds, **ended(run, place / "run0")})
    content = {"provenance": made, "images": options.images, "config": CONFIG, "runs": runs}
    write_json(options.out.with_suffix(".json"), content)
    text = document(content)
    write_text(options.out.with_suffix(".md"), text)
    print(text)
    return 0


def timed(step: str, place: Path, run: Path, devices: int, nodes: int) -> float:
    """Run a step to its end on this machine's cores; return its seconds, its start included."""
    stages = [stage for stage in ("detector", "keypoints") if stage in step or step == "boxes"]
    where = [part for stage in stages for part in placed(stage, devices, nodes)]
    options = [step, "--config", CONFIG, "--data", place / "drawn" / "train", "--run", run, *where]
    options += ["--val"] if step == "train-keypoints" else []
    # Nodes do not know that they share the cores; the processes of one node do.
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // nodes))} if nodes > 1 else {}
    environment, start = os.environ | threads, time.monotonic()
    processes = [subprocess.Popen([*launcher, *map(str, options)], cwd=ROOT, stdout=subprocess.DEVNULL, env=environment)
                 for launcher in launchers(nodes)]  # fmt: skip
    for process in processes:
        if process.wait():
            raise RuntimeError(f"{shlex.join(map(str, process.args))} ended with {process.returncode}")
    return round(time.monotonic() - start, 1)


def placed(stage: str, devices: int, nodes: int) -> list[object]:
    train = f"--{stage}.train"
    return [
        f"{train}.accelerator",
        "cpu",
        f"{train}.devices",
        devices,
        f"{train}.num_nodes",
        nodes,
        f"{train}.workers",
        1,
    ]


def launchers(nodes: int) -> list[list[str]]:
    """Return what starts each node: this Python alone, or torchrun with a process a node.

    Behind `--` torchrun does not take --run for an abbreviation of its own options.
    """
    if nodes == 1:
        return [[sys.executable, "-m", "pipeline"]]
    start = [sys.executable, "-m", "torch.distributed.run", "--nnodes", str(nodes), "--nproc-per-node", "1"]
    meet = ["--master-addr", "127.0.0.1", "--master-port", str(PORT)]
    return [[*start, *meet, "--node-rank", str(rank), "-m", "--", "pipeline"] for rank in range(nodes)]


def ended(run: Path, first: Path) -> dict[str, Any]:
    """Return what came out: the boxes out of fold, NE on fold 0, and how far the weights are from those of one process."""
    boxes = read_json(run / "boxes.json")["figures"]["out_of_fold"]
    return {
        "boxes": boxes,
        "ne": read_json(run / "keypoints" / "val.json")["figures"]["val"]["out_of_fold_boxes"]["ne"],
        "apart": {
            stage: apart(run / stage / name, first / stage / name)
            for stage, name in (("detector", "final.safetensors"), ("keypoints", "val.safetensors"))
        },
    }


def apart(ours: Path, theirs: Path) -> float:
    """Return the distance of two networks' weights as a fraction of their norm."""
    one, other = (
        torch.cat([value.double().flatten() for value in load_file(file).values()]) for file in (ours, theirs)
    )
    return float((one - other).norm() / other.norm())


def document(content: dict[str, Any]) -> str:
    made = content["provenance"]
    lines = [
        [one["processes"], *(f"{one['seconds'][step]:.0f}" for step in STEPS),
         f"{one['boxes']['ap50']:.3f}", f"{one['boxes']['iou']:.3f}", f"{one['ne']:.2f}",
         *(f"{one['apart'][stage]:.4f}" for stage in ("detector", "keypoints"))]
        for one in content["runs"]
    ]  # fmt: skip
    return "\n".join(
        [
            "<!-- written by `make scale-training`; do not edit -->\n",
            "# Training in several processes\n",
            f"{content['images']} drawings, {content['config']}, gloo, all on the same cores; seconds with the start of the "
            "program. Apart is the distance of the weights from those of one process, as a fraction of their norm: sums are "
            "taken in another order.\n",
            as_table(HEAD, lines),
            f"\n`{made['command']}`, commit {made['commit']}, {made['machine']}\n",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
