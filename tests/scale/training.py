"""Training in one process, in two and in four, and as two nodes of torchrun: `make scale-training`.

On a machine with few cores more processes cannot be faster; what is shown is what they cost there, and how far from the
networks of one process they end. Rounding alone leads trainings apart, so beside them stand one process with another number
of threads, and with another seed. The keypoint networks of all runs learn in the boxes of the first.
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from garment_keypoints.pipeline.contract.files import write_text
from garment_keypoints.pipeline.reporting.tables import as_table
from garment_keypoints.pipeline.runs.json_files import read_json, write_json
from garment_keypoints.pipeline.runs.provenance import provenance
from garment_keypoints.pipeline.sample.write import draw_dataset
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
CONFIG = "configs/sample.yaml"
PORT = 29517
STEPS = ("train-detector", "boxes", "train-keypoints")
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
HEAD = ["processes", "seconds: detectors", "boxes", "keypoints", "AP50 out of fold", "mean IoU", "NE in percent",
        "apart: detector", "keypoints"]  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """How the steps of a run are started; `threads` a process, None for as many as there are cores."""

    title: str
    devices: int = 1
    nodes: int = 1
    threads: int | None = None
    seed: int = 0


SETTINGS = (
    Setting("1"),
    Setting("1, of one thread", threads=1),
    Setting("1, seed 1", seed=1),
    Setting("2", devices=2),
    Setting("4", devices=4),
    # Nodes do not know that they share the cores; the processes of one node do.
    Setting("2 nodes of torchrun", nodes=2, threads=max(1, (os.cpu_count() or 1) // 2)),
)


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
        for setting in SETTINGS:
            run, first = place / f"run{len(runs)}", place / "run0"
            seconds = {step: timed(step, place, run, setting) for step in STEPS}
            boxes = read_json(run / "boxes.json")["figures"]["out_of_fold"]
            runs.append({"processes": setting.title, "seconds": seconds, "boxes": boxes, **ended(run, first)})
    content = {"provenance": made, "images": options.images, "config": CONFIG, "runs": runs}
    write_json(options.out.with_suffix(".json"), content)
    text = document(content)
    write_text(options.out.with_suffix(".md"), text)
    print(text)
    return 0


def timed(step: str, place: Path, run: Path, setting: Setting) -> float:
    """Run a step to its end on this machine's cores; return its seconds, its start included."""
    stages = [stage for stage in ("detector", "keypoints") if stage in step or step == "boxes"]
    where = [part for stage in stages for part in placed(stage, setting)]
    options = [step, "--config", CONFIG, "--data", place / "drawn" / "train", "--run", run, *where]
    options += ["--val", "--boxes", place / "run0" / "boxes.csv"] if step == "train-keypoints" else []
    threads = {"OMP_NUM_THREADS": str(setting.threads)} if setting.threads else {}
    environment, start = os.environ | threads, time.monotonic()
    processes = [subprocess.Popen([*launcher, *map(str, options)], cwd=ROOT, stdout=subprocess.DEVNULL, env=environment)
                 for launcher in launchers(setting.nodes)]  # fmt: skip
    for process in processes:
        if process.wait():
            raise RuntimeError(f"{shlex.join(map(str, process.args))} ended with {process.returncode}")
    return round(time.monotonic() - start, 1)


def placed(stage: str, setting: Setting) -> list[object]:
    values = {"accelerator": "cpu", "devices": setting.devices, "num_nodes": setting.nodes, "workers": 1}
    values |= {"seed": setting.seed} if setting.seed else {}
    return [part for name, value in values.items() for part in (f"--{stage}.train.{name}", value)]


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
    """Return what came out: NE on fold 0, and how far the weights are from those of the first run."""
    return {
        "ne": read_json(run / "keypoints" / "val.json")["figures"]["val"]["out_of_fold_boxes"]["ne"],
        "apart": {
            stage: apart(run / stage / name, first / stage / name)
            for stage, name in (("detector", "final.safetensors"), ("keypoints", "val.safetensors"))
        },
    }


def apart(ours: Path, theirs: Path) -> float:
    """Return the distance of two networks' trained weights as a fraction of their norm.

    Without the running statistics of BatchNorm, whose variances are larger by orders than any weight.
    """
    one, other = (
        torch.cat([v.double().flatten() for name, v in load_file(file).items() if not name.endswith(STATISTICS)])
        for file in (ours, theirs)
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
            "program. Apart is the distance of the trained weights from those of the first line, as a fraction of their norm: "
            "several processes, and another number of threads, take sums in another order. Keypoint networks learn in the boxes "
            "of the first line.\n",
            as_table(HEAD, lines),
            f"\n`{made['command']}`, commit {made['commit']}, {made['machine']}\n",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
