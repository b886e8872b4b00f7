"""The card of a pair of weights, as Markdown: what it is, how it was made, what it scores, and on what terms."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from garment_keypoints.pipeline.learning.manifests import recorded_refine
from garment_keypoints.pipeline.reporting.model_card import Costs

HEAD = "<!-- written by `python -m pipeline card`; do not edit -->\n\n"


@dataclass(frozen=True)
class NetworkFile:
    """One network of a pair: its file and SHA-256, the header of its checkpoint, the side of its input, its costs."""

    file: Path
    sha256: str
    header: dict[str, Any]
    size: int
    costs: Costs


def weights_card(name: str, manifest: dict[str, Any], networks: dict[str, NetworkFile], record: dict[str, Any]) -> str:
    """Write the card; `record` is that of a scored submission by these very files."""
    parts = (_overview(networks), _figures(record), _recipe(networks))
    return "\n".join([f"{HEAD}# {name}\n", f"{manifest['terms']}\n", *parts])


def _overview(networks: dict[str, NetworkFile]) -> str:
    rows = {
        "file": [f"{one.file.name}, {one.file.stat().st_size / 1e6:.1f} MB" for one in networks.values()],
        "input": [f"{one.size} px" for one in networks.values()],
        "parameters": [f"{one.costs.parameters / 1e6:.2f} M" for one in networks.values()],
        "operations": [f"{one.costs.gflops:.2f} GFLOPs" for one in networks.values()],
        "trained on": [f"{one.header['train_ids_count']} images" for one in networks.values()],
        "SHA-256": [f"`{one.sha256[:16]}…`" for one in networks.values()],
    }
    return _table(["", *networks], [[name, *cells] for name, cells in rows.items()])


def _refined(record: dict[str, Any]) -> str:
    refine = recorded_refine(record["job"] | record)
    return f", averaged with {refine} more around the points" if refine else ""


def _figures(record: dict[str, Any]) -> str:
    figures, made = record["figures"], record["provenance"]
    speed = figures["images"] / record["wall_s"]
    lines = [
        f"## Figures\n\nOn {record['test']}, {figures['images']} images, {figures['points']} visible points, crops from "
        f"{figures['boxes']}{_refined(record)}: **NE {figures['ne']:.3f} %**; {speed:.1f} images a second from file to points, "
        f"{record['peak_memory_gb']} GB of memory ({made['machine']}).\n",
        f"`{made['command']}`, commit {made['commit']}, {made['date'][:10]}.\n",
        _table(["category", "NE %"], _percents(figures["by_category"])),
        _table(["keypoint", "NE %"], _percents(figures["by_keypoint"])),
    ]
    return "\n".join(lines)


def _percents(values: dict[str, float | None]) -> list[list[str]]:
    return [[name, "-" if value is None else f"{value:.2f}"] for name, value in values.items()]


def _recipe(networks: dict[str, NetworkFile]) -> str:
    blocks = ["## Recipe\n"]
    for stage, one in networks.items():
        made = {key: value for key, value in one.header["provenance"].items() if key != "exported"}
        how = (
            f"`{made['command']}`, commit {made['commit']}, {made['machine']}"
            if made
            else "of before commands were kept in it"
        )
        settings = yaml.safe_dump(one.header["config"], sort_keys=False)
        blocks.append(f"{stage}: {how}\n\n```yaml\n{settings}```\n")
    return "\n".join(blocks)


def _table(head: list[str], rows: list[list[str]]) -> str:
    ruled = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(row) + " |\n" for row in ruled)
